// What kernels see of CUDA. nvcc compiles them for the device; any other compiler for the emulator in tests/emulator/,
// which gives the same names their meaning on the CPU. Kernels therefore keep four rules: inline PTX stands in ptx.cuh
// alone, launch() instead of <<<>>>, REEL_SHARED and REEL_DYNAMIC_SHARED instead of __shared__, and one trivially
// copyable struct as a kernel's only parameter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#include <cuda_runtime.h>

/// The namespace of everything in kernels/cuda/: a test program links the device's and the emulator's build.
#define REEL_CUDA_BUILD cuda_device
/// A variable in shared memory: REEL_SHARED(float[32], sums);
#define REEL_SHARED(type, name) __shared__ std::type_identity_t<type> name
/// The launch's dynamic shared memory, 128-byte aligned: REEL_DYNAMIC_SHARED(float, tile); declares float* tile.
#define REEL_DYNAMIC_SHARED(type, name)                                 \
  extern __shared__ __align__(128) unsigned char reel_dynamic_shared[]; \
  auto* name = reinterpret_cast<type*>(reel_dynamic_shared)
#elif defined(REEL_DEVICE_BUILD)  // the plain C++ files of the device's build
#include <cuda_runtime_api.h>
#define REEL_CUDA_BUILD cuda_device
#else
#define REEL_CUDA_BUILD cuda_emulated
#include "tests/emulator/language.h"
#endif

namespace reel::REEL_CUDA_BUILD {

/// Whether the architecture that is compiled for has thread block clusters; kernels that need them are empty elsewhere.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr bool kClusters = false;
#else
constexpr bool kClusters = true;
#endif

struct Launch {
  dim3 grid{1};
  dim3 block{1};
  std::size_t shared = 0;  // bytes of dynamic shared memory
  cudaStream_t stream = nullptr;
  unsigned cluster = 1;  // blocks of a cluster, along x; grid.x is a multiple
};

#if defined(__CUDACC__)
/// Throws Error where CUDA has something against a call; `what` names the call.
void check_cuda(cudaError_t status, const char* what);

/// Enqueues a kernel and returns.
template <class Args>
void launch(void (*kernel)(Args), const Launch& launch, const std::type_identity_t<Args>& args) {
  static_assert(std::is_trivially_copyable_v<Args>);
  constexpr std::size_t kSharedWithoutAsking = 48 * 1024;
  if (launch.shared > kSharedWithoutAsking) {
    check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(launch.shared)),
               "cudaFuncSetAttribute");
  }
  cudaLaunchConfig_t config{};
  config.gridDim = launch.grid;
  config.blockDim = launch.block;
  config.dynamicSmemBytes = launch.shared;
  config.stream = launch.stream;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {launch.cluster, 1, 1};
  config.attrs = &attribute;
  config.numAttrs = launch.cluster > 1 ? 1 : 0;
  check_cuda(cudaLaunchKernelEx(&config, kernel, args), "cudaLaunchKernelEx");
}
#elif !defined(REEL_DEVICE_BUILD)
template <class Args>
void launch(void (*kernel)(Args), const Launch& launch, const std::type_identity_t<Args>& args) {
  static_assert(std::is_trivially_copyable_v<Args>);
  emulator::launch({.grid = launch.grid, .block = launch.block, .shared = launch.shared, .cluster = launch.cluster},
                   {reinterpret_cast<const void*>(kernel), &args, sizeof args}, [&] { kernel(args); });
}
#endif

}  // namespace reel::REEL_CUDA_BUILD
