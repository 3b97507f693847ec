// Sums over the threads of a block, in a fixed order.
#pragma once

#include "kernels/cuda/device.h"

namespace reel::cuda {

template <class Real>
__device__ inline Real warp_sum(Real value) {
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

/// The sum of all threads' values, in every thread. `partial` [32] is shared memory that nothing else uses until the
/// next barrier; blockDim.x is a multiple of 32.
template <class Real>
__device__ inline Real block_sum(Real value, Real* partial) {
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  Real sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += partial[warp];
  __syncthreads();
  return sum;
}

}  // namespace reel::cuda
