// CUDA C++ as kernels use it, for nvcc; the plain C++ files of kernels/cuda/ see the runtime's types only. Included as
// <cuda_language.h>, a name that the build resolves: here, or to the emulator's header of that name in the tests.
#pragma once

#include <type_traits>

#if defined(__CUDACC__)
#include <cuda_runtime.h>

/// A variable in shared memory, 16-byte aligned as float4 and ldmatrix want it: REEL_SHARED(float[32], sums);
#define REEL_SHARED(type, name) __shared__ __align__(16) std::type_identity_t<type> name
/// The launch's dynamic shared memory, 128-byte aligned: REEL_DYNAMIC_SHARED(float, tile); declares float* tile.
#define REEL_DYNAMIC_SHARED(type, name)                                 \
  extern __shared__ __align__(128) unsigned char reel_dynamic_shared[]; \
  auto* name = reinterpret_cast<type*>(reel_dynamic_shared)
#else
#include <cuda_runtime_api.h>
#endif

namespace reel::cuda {

/// What the CUDA runtime knows a kernel by.
template <class Args>
const void* kernel_handle(void (*kernel)(Args)) {
  return reinterpret_cast<const void*>(kernel);
}

}  // namespace reel::cuda
