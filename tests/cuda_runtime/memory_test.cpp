// Who may touch which memory when, and that it is given back.
#include <cstdlib>

#include "kernels/cuda/cub.h"
#include "kernels/cuda/cublas.h"
#include "tests/cuda_runtime/fixture.h"

namespace reel::runtime {
namespace {

class RuntimeMemory : public RuntimeTest {};
using RuntimeMemoryDeath = RuntimeMemory;

TEST_F(RuntimeMemoryDeath, TheHostCannotTouchTheDevices) {
  float* const memory = make_device_memory();
  EXPECT_DEATH(memory[1] = 1, "the host touches .*: byte 4 of device memory, 32 bytes");
  read(memory, make_stream());
  EXPECT_DEATH(memory[1] = 1, "the host touches") << "nor after work has run";
}

TEST_F(RuntimeMemoryDeath, TheHostCannotTouchFreedPinnedMemory) {
  float* const pinned = make_pinned_memory();
  pinned[0] = 1;
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  EXPECT_DEATH(pinned[0] = 1, "the host touches .*: byte 0 of pinned memory, 32 bytes, freed");
}

TEST_F(RuntimeMemory, FreshMemoryIsNotZero) {
  const std::vector<float> values = read(make_device_memory(), make_stream());
  for (const float value : values) EXPECT_TRUE(std::isnan(value));
}

TEST_F(RuntimeMemory, KernelsCannotTouchWhatWasFreed) {
  const cudaStream_t stream = make_stream();
  float* const memory = make_device_memory();
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  fill({memory, kCount, 1}, stream);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  EXPECT_THAT(kernel_error(), testing::HasSubstr("of device memory, 32 bytes, freed"));
}

TEST_F(RuntimeMemory, KernelsAndLibrariesAreNotGivenTheHosts) {
  const cudaStream_t stream = make_stream();
  std::vector<float> values = all(1);
  std::vector<std::int32_t> keys(kCount);
  auto* const memory = reinterpret_cast<std::int32_t*>(make_device_memory(4096));
  const cuda::Cublas cublas(stream, make_device_memory(cuda::Cublas::kWorkspaceBytes));
  const Violations violations;
  fill({values.data(), kCount, 1}, stream);
  std::size_t bytes = 2048;
  EXPECT_EQ(cuda::inclusive_sum(memory, bytes, {.values = keys.data(), .sums = memory, .count = kCount}, stream),
            cudaErrorInvalidValue);
  const auto* const device = reinterpret_cast<const float*>(memory);
  refusal([&] { cublas.product({.m = 1, .n = 1, .k = 1, .a = device, .b = device, .c = values.data()}); });
  EXPECT_THAT(violations.found(), testing::ElementsAre("a kernel is given host memory, in byte 0 of its arguments",
                                                       "CUB sum is given what is no device memory",
                                                       "cublasSgemm is given what is no device memory"));
}

TEST_F(RuntimeMemory, FreeingDoesNotWaitForKernels) {
  const cudaStream_t stream = make_stream();
  float* const memory = make_device_memory();
  fill({memory, kCount, 1}, stream);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
}

TEST_F(RuntimeMemory, FreeingDoesNotWaitForCopies) {
  const cudaStream_t stream = make_stream();
  float* const memory = make_device_memory();
  EXPECT_EQ(cudaMemsetAsync(memory, 0, kBytes, stream), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
}

TEST_F(RuntimeMemory, OfADestroyedStreamsWorkIsNotFreedEarlyEither) {
  const cudaStream_t stream = make_stream();
  float* const memory = make_device_memory();
  fill({memory, kCount, 1}, stream);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess) << "its work runs all the same";
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
}

TEST_F(RuntimeMemory, PinnedMemoryIsNotFreedBeforeItsCopy) {
  const cudaStream_t stream = make_stream();
  float* const pinned = make_pinned_memory();
  EXPECT_EQ(cudaMemcpyAsync(pinned, make_device_memory(), kBytes, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  const Violations violations;
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  EXPECT_THAT(violations.found(), testing::ElementsAre("cudaFreeHost while this has not run: copy from device to "
                                                       "pinned memory"));
}

TEST_F(RuntimeMemory, FreeingTwiceOrWhatIsNoMemoryIsAViolation) {
  float* const memory = make_device_memory();
  const Violations violations;
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(reinterpret_cast<void*>(64)), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  float* const pinned = make_pinned_memory();
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(pinned), cudaErrorInvalidValue);
  EXPECT_THAT(violations.found(),
              testing::ElementsAre("cudaFree twice", "cudaFree of what was never allocated", "cudaFreeHost twice"));
}

TEST_F(RuntimeMemory, TheNthAllocationFails) {
  fail_allocation(3);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 8), cudaSuccess);
  EXPECT_EQ(cudaMallocHost(&memory, 8), cudaSuccess);
  EXPECT_FALSE(allocation_failed());
  cudaEvent_t event = nullptr;
  EXPECT_EQ(cudaEventCreateWithFlags(&event, 0), cudaErrorMemoryAllocation);
  EXPECT_TRUE(allocation_failed());
  EXPECT_EQ(cudaEventCreateWithFlags(&event, 0), cudaSuccess);
}

TEST_F(RuntimeMemory, OfTheDeviceIsLimited) {
  reset();
  set_options({.device = {.memory = 1 << 20}});
  float* const memory = make_device_memory(1 << 19);
  std::size_t free = 0, total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(free, std::size_t{1} << 19);
  void* more = nullptr;
  EXPECT_EQ(cudaMalloc(&more, (1 << 19) + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&more, (1 << 19) + 1), cudaSuccess);
}

TEST_F(RuntimeMemory, WhatIsAliveIsKnown) {
  EXPECT_THAT(alive(), testing::IsEmpty());
  const cudaStream_t stream = make_stream();
  make_device_memory();
  make_pinned_memory();
  make_event();
  EXPECT_THAT(alive(),
              testing::UnorderedElementsAre("stream", "event", "device memory, 32 bytes", "pinned memory, 32 bytes"));
  cudaStreamDestroy(stream);
  EXPECT_EQ(alive().size(), 3u);
}

TEST_F(RuntimeMemoryDeath, WhatIsNeverFreedIsReportedAtExit) {
  const auto leak = [&] {
    make_device_memory();
    std::exit(0);
  };
  EXPECT_EXIT(leak(), testing::ExitedWithCode(97), "leaked: device memory, 32 bytes");
}

}  // namespace
}  // namespace reel::runtime
