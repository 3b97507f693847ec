// CUDA C++ as kernels/cuda/ uses it, for compilers that do not know it: stands in for kernels/cuda/language/.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tests/emulator/scheduler.h"

#undef __global__
#undef __device__
#undef __host__
#undef __forceinline__
#undef __shared__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static_assert(false, "REEL_SHARED or REEL_DYNAMIC_SHARED instead of __shared__");

#define REEL_SHARED(type, name)                           \
  static constexpr char name##_key = 0;                   \
  auto& name = *static_cast<std::type_identity_t<type>*>( \
      ::reel::emulator::shared_variable(&name##_key, sizeof(std::type_identity_t<type>)))
#define REEL_DYNAMIC_SHARED(type, name) auto* name = static_cast<type*>(::reel::emulator::dynamic_shared())

namespace reel::emulator {

/// A number of the running thread, read when it is used.
template <std::uint32_t (*kRead)()>
struct ThreadsOwn {
  operator std::uint32_t() const { return kRead(); }
};

}  // namespace reel::emulator

#define REEL_THREADS_OWN(name, from)                                      \
  inline constexpr struct {                                               \
    reel::emulator::ThreadsOwn<[] { return std::uint32_t{from.x}; }> x{}; \
    reel::emulator::ThreadsOwn<[] { return std::uint32_t{from.y}; }> y{}; \
    reel::emulator::ThreadsOwn<[] { return std::uint32_t{from.z}; }> z{}; \
  } name
REEL_THREADS_OWN(threadIdx, reel::emulator::current->index);
REEL_THREADS_OWN(blockIdx, reel::emulator::current->block->index);
REEL_THREADS_OWN(blockDim, reel::emulator::current->block->size);
REEL_THREADS_OWN(gridDim, reel::emulator::current->block->grid);
#undef REEL_THREADS_OWN

namespace reel::emulator {

struct Shuffle {
  std::uint64_t value;
  std::uint32_t source;  // the lane to read
};

void exchange(void* const* ios, std::uint32_t mask);

}  // namespace reel::emulator

namespace reel::cuda {

template <class Args>
const void* kernel_handle(void (*kernel)(Args)) {
  const auto call = [](const void* handle, const void* args) {
    reinterpret_cast<void (*)(Args)>(const_cast<void*>(handle))(*static_cast<const Args*>(args));
  };
  const void* const handle = reinterpret_cast<const void*>(kernel);
#if __has_builtin(__builtin_clear_padding)
  const auto clear_padding = [](void* args) { __builtin_clear_padding(static_cast<Args*>(args)); };
#else
  void (*const clear_padding)(void*) = nullptr;
#endif
  emulator::register_kernel(handle, {sizeof(Args), call, clear_padding});
  return handle;
}

}  // namespace reel::cuda

inline void __syncthreads(reel::emulator::Site site = reel::emulator::Site::here()) {
  reel::emulator::block_barrier(site);
}

inline void __syncwarp(std::uint32_t mask = 0xFFFFFFFFu, reel::emulator::Site site = reel::emulator::Site::here()) {
  reel::emulator::warp_collective(
      mask, "__syncwarp", site, nullptr, [](void* const*, std::uint32_t) {}, true);
}

namespace reel::emulator {

/// The value of lane `source`, which takes part.
template <class T>
T shuffled(std::uint32_t mask, T value, std::uint32_t source, const char* what, Site site) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  Shuffle shuffle{0, source % 32};
  std::memcpy(&shuffle.value, &value, sizeof(T));
  warp_collective(mask, what, site, &shuffle, exchange, false);
  std::memcpy(&value, &shuffle.value, sizeof(T));
  return value;
}

}  // namespace reel::emulator

template <class T>
T __shfl_xor_sync(std::uint32_t mask, T value, int distance, reel::emulator::Site site = reel::emulator::Site::here()) {
  const std::uint32_t source = reel::emulator::current->lane ^ static_cast<std::uint32_t>(distance);
  return reel::emulator::shuffled(mask, value, source, "__shfl_xor_sync", site);
}
/// width: of parts of the warp, a power of two; `source` counts within the lane's own.
template <class T>
T __shfl_sync(std::uint32_t mask, T value, int source, int width = 32,
              reel::emulator::Site site = reel::emulator::Site::here()) {
  const auto part = static_cast<std::uint32_t>(width);
  const std::uint32_t first = reel::emulator::current->lane / part * part;
  return reel::emulator::shuffled(mask, value, first + static_cast<std::uint32_t>(source) % part, "__shfl_sync", site);
}

using std::max;
using std::min;
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
