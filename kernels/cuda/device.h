// What kernels and their launchers see of CUDA. Kernels keep four rules, so that the tests can run them on the CPU too:
// inline PTX stands in <cuda_ptx.h> alone, launch() instead of <<<>>>, REEL_SHARED and REEL_DYNAMIC_SHARED instead of
// __shared__, and one trivially copyable struct as a kernel's only parameter.
#pragma once

#include <cuda_language.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace reel::cuda {

/// Whether the architecture that is compiled for has thread block clusters. Elsewhere kernels that need them fail: a
/// device that has clusters may have been given code for one that has not.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr bool kClusters = false;
__device__ inline void fail_without_clusters() { __trap(); }
#else
constexpr bool kClusters = true;
__device__ inline void fail_without_clusters() {}
#endif

/// Throws Error, in one line, if a CUDA call failed; `what` names the call.
void check_cuda(cudaError_t status, const char* what);

/// What the threads of a launch do, as far as its plan asks (kernels/cuda/plan.h). What lies on the device alone, like
/// the number of a batch's distinct tokens, counts as the most that there is room for.
struct Work {
  double bytes = 0;  // of global memory, read and written, each once
  double flops = 0;
  bool tensor_cores = false;  // which do them
  double loads = 0;           // of one thread, that wait for each other
  double last_loads = 0;      // of the block that ends last, when all others have; their arrival is the first
};

struct Launch {
  dim3 grid{1};
  dim3 block{1};
  std::size_t shared = 0;  // bytes of dynamic shared memory
  cudaStream_t stream = nullptr;
  unsigned cluster = 1;  // blocks of a cluster, along x; grid.x is a multiple
  Work work{};
};

/// launch() and max_active_clusters() of a kernel whose type is forgotten; `args` is its struct.
void launch_kernel(const void* kernel, const Launch& launch, const void* args);
int max_active_clusters(const void* kernel, const Launch& launch);

/// Enqueues a kernel and returns. The arguments are copied.
template <class Args>
void launch(void (*kernel)(Args), const Launch& launch, const std::type_identity_t<Args>& args) {
  static_assert(std::is_trivially_copyable_v<Args>);
  launch_kernel(kernel_handle(kernel), launch, &args);
}

/// Null where an argument is left out: even an empty buffer has an address.
template <class T>
T* address_of(std::span<T> optional) {
  return optional.empty() ? nullptr : optional.data();
}

/// How many clusters of such a launch the device runs at once, as it says itself; 0 where not even one fits.
template <class Args>
int max_active_clusters(void (*kernel)(Args), const Launch& launch) {
  return max_active_clusters(kernel_handle(kernel), launch);
}

}  // namespace reel::cuda
