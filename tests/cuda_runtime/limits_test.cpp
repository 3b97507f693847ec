// What a device refuses to launch.
#include "tests/cuda_runtime/fixture.h"

namespace reel::runtime {
namespace {

using testing::HasSubstr;

class RuntimeLimits : public RuntimeTest {
 protected:
  std::string launch(cuda::Launch launch) {
    launch.stream = stream_;
    return refusal([&] { fill({memory_, kCount, 1}, launch); });
  }
  void use(const Device& device) {
    reset();
    set_options({.device = device});
    stream_ = make_stream();
    memory_ = make_device_memory();
  }

  cudaStream_t stream_ = make_stream();
  float* memory_ = make_device_memory();
};

TEST_F(RuntimeLimits, ThreadsOfABlock) {
  EXPECT_THAT(launch({.block = dim3(1025)}), HasSubstr("invalid configuration"));
  EXPECT_THAT(launch({.block = dim3(0)}), HasSubstr("invalid configuration"));
  EXPECT_THAT(launch({.block = dim3(1, 1, 65)}), HasSubstr("invalid configuration"));
  EXPECT_EQ(launch({.block = dim3(256)}), "");
}

TEST_F(RuntimeLimits, BlocksOfAGrid) {
  EXPECT_THAT(launch({.grid = dim3(0)}), HasSubstr("invalid configuration"));
  EXPECT_THAT(launch({.grid = dim3(1, 65536)}), HasSubstr("invalid configuration"));
  EXPECT_THAT(launch({.grid = dim3(0x80000000u)}), HasSubstr("invalid configuration"));
}

/// The recurrence's kernels say how many threads they are compiled for.
TEST_F(RuntimeLimits, ThreadsThatAKernelIsCompiledFor) {
  set_launch_bound(fill_handle(), 64);
  EXPECT_EQ(launch({.block = dim3(64)}), "");
  EXPECT_THAT(launch({.block = dim3(65)}), HasSubstr("invalid argument"));
  set_launch_bound(fill_handle(), 1024);
}

/// Of a kernel in kernel_resources.tsv the registers are known; this one may take 255.
TEST_F(RuntimeLimits, RegistersTimesThreads) {
  EXPECT_EQ(launch({.block = dim3(256)}), "");
  EXPECT_THAT(launch({.block = dim3(257)}), HasSubstr("too many resources requested"));
}

TEST_F(RuntimeLimits, SharedMemoryIsFinite) {
  EXPECT_EQ(launch({.shared = 227 * 1024}), "");
  EXPECT_THAT(launch({.shared = 227 * 1024 + 1}), HasSubstr("cudaFuncSetAttribute: invalid argument"));
  use({.major = 8, .minor = 6});
  EXPECT_EQ(launch({.shared = 99 * 1024}), "");
  EXPECT_THAT(launch({.shared = 100 * 1024}), HasSubstr("cudaFuncSetAttribute: invalid argument"));
}

TEST_F(RuntimeLimits, MuchSharedMemoryHasToBeAskedFor) {
  constexpr int kMuch = 49 * 1024;
  const cudaLaunchConfig_t config{.gridDim = 1, .blockDim = 32, .dynamicSmemBytes = kMuch, .stream = stream_};
  FillArgs args{memory_, kCount, 1};
  void* parameters[] = {&args};
  EXPECT_EQ(cudaLaunchKernelExC(&config, fill_handle(), parameters), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(fill_handle(), cudaFuncAttributeMaxDynamicSharedMemorySize, kMuch), cudaSuccess);
  EXPECT_EQ(cudaLaunchKernelExC(&config, fill_handle(), parameters), cudaSuccess);
  EXPECT_EQ(cudaLaunchKernelExC(&config, &args, parameters), cudaErrorInvalidDeviceFunction) << "no kernel";
}

TEST_F(RuntimeLimits, ClustersHaveASize) {
  EXPECT_EQ(launch({.grid = dim3(16), .cluster = 8}), "");
  EXPECT_THAT(launch({.grid = dim3(16), .cluster = 16}), HasSubstr("CUDA error 912")) << "needs leave";
  EXPECT_THAT(launch({.grid = dim3(12), .cluster = 8}), HasSubstr("CUDA error 912"));
  use({.major = 8, .minor = 9});
  EXPECT_THAT(launch({.grid = dim3(16), .cluster = 8}), HasSubstr("cudaLaunchKernelExC"));
}

TEST_F(RuntimeLimits, HowManyClustersFitIsAskedFor) {
  use({.multiprocessors = 132, .clusters = 15});
  EXPECT_EQ(fill_clusters({.grid = dim3(8), .cluster = 8}), 15) << "not 132 / 8";
  use({.clusters = 0});
  EXPECT_EQ(fill_clusters({.grid = dim3(8), .cluster = 8}), 0);
  EXPECT_THAT(launch({.grid = dim3(8), .cluster = 8}), HasSubstr("too many resources"));
}

}  // namespace
}  // namespace reel::runtime
