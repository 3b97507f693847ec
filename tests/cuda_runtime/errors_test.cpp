// What is remembered of errors, and for how long.
#include "kernels/cuda/cub.h"
#include "kernels/cuda/cublas.h"
#include "tests/cuda_runtime/fixture.h"

namespace reel::runtime {
namespace {

class RuntimeErrors : public RuntimeTest {};

TEST_F(RuntimeErrors, TheLastOneIsKeptUntilItIsAskedFor) {
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, std::size_t{1} << 60), cudaErrorMemoryAllocation);
  make_stream();
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation) << "calls that succeed do not clear it";
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation) << "nor does peeking";
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(RuntimeErrors, NotReadyIsOneOfThem) {
  const cudaEvent_t event = make_event();
  EXPECT_EQ(cudaEventRecord(event, make_stream()), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaErrorNotReady);
}

TEST_F(RuntimeErrors, LibrariesFailForAnErrorOfACallBefore) {
  const cudaStream_t stream = make_stream();
  float* const memory = make_device_memory(4096);
  float* const workspace = make_device_memory(cuda::Cublas::kWorkspaceBytes);
  auto* const keys = reinterpret_cast<std::int32_t*>(make_device_memory());
  const cuda::Cublas cublas(stream, workspace);
  const cuda::Product product{.m = 1, .n = 1, .k = 1, .a = memory, .b = memory, .c = memory};
  std::size_t bytes = 0;
  const cuda::InclusiveSum sum{.values = keys, .sums = keys, .count = kCount};
  EXPECT_EQ(cuda::inclusive_sum(nullptr, bytes, sum, stream), cudaSuccess);
  EXPECT_EQ(cuda::inclusive_sum(memory, bytes, sum, stream), cudaSuccess);
  EXPECT_EQ(refusal([&] { cublas.product(product); }), "");
  const cudaEvent_t event = make_event();
  cudaEventRecord(event, stream);
  cudaEventQuery(event);
  EXPECT_EQ(cuda::inclusive_sum(memory, bytes, sum, stream), cudaErrorNotReady);
  EXPECT_THAT(refusal([&] { cublas.product(product); }), testing::HasSubstr("cublasSgemm: cuBLAS status 13"));
}

TEST_F(RuntimeErrors, AFailedKernelIsNeverForgotten) {
  const cudaStream_t stream = make_stream();
  float* const memory = make_device_memory();
  fill({memory + 2000, kCount, 1}, stream);
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess) << "it has not run";
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  void* more = nullptr;
  EXPECT_EQ(cudaMalloc(&more, 1), cudaErrorIllegalAddress);
  EXPECT_THAT(kernel_error(),
              testing::ContainsRegex("block 0 thread 0: invalid access at .*: byte 8000 of device memory"));
}

}  // namespace
}  // namespace reel::runtime
