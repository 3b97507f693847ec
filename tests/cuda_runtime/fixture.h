// A device of the stand-in, and what tests of its rules do with it.
#pragma once

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/error.h"
#include "tests/cuda_runtime/runtime.h"
#include "tests/cuda_runtime/sample_kernels.h"

namespace reel::runtime {

class RuntimeTest : public testing::Test {
 protected:
  static constexpr int kCount = 8;
  static constexpr std::size_t kBytes = kCount * sizeof(float);

  RuntimeTest() {
    reset();
    set_options({});
  }
  ~RuntimeTest() override {
    reset();
    set_options({});
  }

  cudaStream_t make_stream() {
    cudaStream_t stream = nullptr;
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    return stream;
  }
  cudaEvent_t make_event(unsigned flags = cudaEventDefault) {
    cudaEvent_t event = nullptr;
    EXPECT_EQ(cudaEventCreateWithFlags(&event, flags), cudaSuccess);
    return event;
  }
  float* make_device_memory(std::size_t bytes = kBytes) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, bytes), cudaSuccess);
    return static_cast<float*>(memory);
  }
  float* make_pinned_memory(std::size_t bytes = kBytes) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMallocHost(&memory, bytes), cudaSuccess);
    return static_cast<float*>(memory);
  }
  /// What the device has there, after all that is enqueued.
  std::vector<float> read(const float* memory, cudaStream_t stream) {
    std::vector<float> values(kCount);
    EXPECT_EQ(cudaMemcpyAsync(values.data(), memory, kBytes, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    return values;
  }
  static std::vector<float> all(float value) { return std::vector<float>(kCount, value); }

  /// What a launch is refused with, or nothing.
  static std::string refusal(const std::function<void()>& launch) {
    try {
      launch();
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }
};

}  // namespace reel::runtime
