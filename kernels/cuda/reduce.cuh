// Sums and maxima in a fixed order: of numbers in memory, over the threads of a block, and over the blocks of a grid.
#pragma once

#include <cuda_ptx.h>

#include "kernels/cuda/device.h"

namespace reel::cuda {

/// How many loads of add_in_order() are under way at once.
constexpr int kLoadsAtOnce = 8;

/// sum + values[0] + values[stride] + ..., `count` of them, one after the other.
template <class Number>
__device__ inline float add_in_order(float sum, const Number* values, std::int64_t stride, std::int64_t count) {
  for (; count > 0; count -= kLoadsAtOnce) {
    float next[kLoadsAtOnce];
#pragma unroll
    for (int i = 0; i < kLoadsAtOnce; ++i) next[i] = i < count ? static_cast<float>(values[i * stride]) : 0.0f;
#pragma unroll
    for (int i = 0; i < kLoadsAtOnce; ++i) sum = i < count ? sum + next[i] : sum;
    values += kLoadsAtOnce * stride;
  }
  return sum;
}

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

/// Whether this is the last of `blocks` blocks that come here: it sees what the others have written before, whatever
/// their order was. `arrived` is one of CudaContext's; all threads of a block come together.
__device__ inline bool is_last_block(std::uint32_t* arrived, unsigned blocks) {
  REEL_SHARED(bool, last);
  __syncthreads();
  if (threadIdx.x == 0) last = count_arrival(arrived, blocks - 1) == blocks - 1;
  __syncthreads();
  return last;
}

struct Largest {
  float value;
  int index;
};

__device__ inline Largest larger(const Largest& a, const Largest& b) {
  const bool second = b.value > a.value || (b.value == a.value && b.index < a.index);
  return second ? b : a;
}

/// The first largest of `values` [count], in every thread; index `count` where all are -infinity or no number.
/// `partial` as of block_sum.
__device__ inline Largest block_largest(const float* values, int count, Largest* partial) {
  Largest largest{-INFINITY, count};
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    if (values[i] > largest.value) largest = {values[i], i};
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    largest = larger(largest, {__shfl_xor_sync(0xffffffffu, largest.value, distance),
                               __shfl_xor_sync(0xffffffffu, largest.index, distance)});
  }
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = largest;
  __syncthreads();
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) largest = larger(largest, partial[warp]);
  __syncthreads();
  return largest;
}

}  // namespace reel::cuda
