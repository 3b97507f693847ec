// What most kernels are launched as: a thread for each element, or a block for each row.
#pragma once

#include "kernels/cuda/context.h"

namespace reel::cuda {

__device__ inline std::int64_t global_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

/// Bytes of so many numbers, all of four bytes each.
inline double bytes_of(std::int64_t numbers) { return 4.0 * static_cast<double>(numbers); }

/// At least `elements` threads; those beyond have nothing to do.
inline Launch over(CudaContext& context, std::int64_t elements, const Work& work = {}) {
  constexpr std::int64_t kThreads = 256;
  return {.grid = dim3(static_cast<unsigned>(elements > 0 ? (elements + kThreads - 1) / kThreads : 1)),
          .block = dim3(kThreads),
          .stream = context.platform.stream(),
          .work = work};
}

inline Launch per_block(CudaContext& context, std::int64_t blocks, int threads, const Work& work = {}) {
  return {.grid = dim3(static_cast<unsigned>(blocks)),
          .block = dim3(static_cast<unsigned>(threads)),
          .stream = context.platform.stream(),
          .work = work};
}

}  // namespace reel::cuda
