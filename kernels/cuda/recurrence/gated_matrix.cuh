// W_hh of a gated cell, which the blocks of a cluster keep together in registers, each that of its own units' gates.
//
// A thread has kChunks * 4 columns of up to four rows; kSlices neighbours share the rows. Of each 4 kSlices columns, it
// holds four (one float4 of the vector), so that a product reads the vector without bank conflicts, and adds the sums
// of its rows over its neighbours by shuffles, after which lane s has row s % 4.
#pragma once

#include "kernels/cuda/device.h"

namespace reel::cuda {

/// How the units of a layer of up to kHidden are shared.
template <int kHidden>
struct GatedShape {
  static constexpr int kBlocks = kHidden <= 64 ? 1 : kHidden <= 128 ? 2 : 8;  // of a cluster
  static constexpr int kUnits = kHidden / kBlocks;                            // of a block
  static constexpr int kColumns = kHidden <= 64 ? 16 : 32;                    // of a row that a thread keeps
  static constexpr int kThreads = kUnits * kHidden / kColumns;
  static constexpr int kRows = kHidden <= 128 ? 1 : 2;  // batch rows at once, at most: a unit has lanes for two there
};

template <int kSlices, int kChunks, int kRows>
struct SlicedMatrix {
  static_assert(kSlices >= 4 && kSlices <= 32 && kRows <= 4);
  float kept[kChunks][4][kRows];  // [chunk][column][row]

  __device__ static int slice() { return static_cast<int>(threadIdx.x) % kSlices; }

  /// element(row, column) of this thread's rows.
  template <class Element>
  __device__ void load(const Element& element) {
#pragma unroll
    for (int q = 0; q < kChunks; ++q) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) kept[q][i][r] = element(r, 4 * (kSlices * q + slice()) + i);
      }
    }
  }

  /// Row slice() % 4, 0 if there is none, times `vector` [kChunks * kSlices * 4], 16-byte aligned in shared memory.
  __device__ float times(const float* vector) const {
    float sum[4] = {};
    multiply(vector, sum);
    return add_slices(sum, 4);
  }
  /// The same with one of two vectors: the second where slice() / 4 is odd.
  __device__ float times(const float* first, const float* second) const {
    static_assert(kSlices >= 8);
    float sum[4] = {}, other[4] = {};
    multiply(first, sum);
    multiply(second, other);
    const bool takes_second = (slice() & 4) != 0;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const float sent = __shfl_xor_sync(0xffffffffu, takes_second ? sum[r] : other[r], 4);
      sum[r] = (takes_second ? other[r] : sum[r]) + sent;
    }
    return add_slices(sum, 8);
  }

 private:
  __device__ void multiply(const float* vector, float (&sum)[4]) const {
    const float4* const parts = reinterpret_cast<const float4*>(vector) + slice();
#pragma unroll
    for (int q = 0; q < kChunks; ++q) {
      const float4 x = parts[kSlices * q];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        sum[r] = fmaf(x.x, kept[q][0][r], sum[r]);
        sum[r] = fmaf(x.y, kept[q][1][r], sum[r]);
        sum[r] = fmaf(x.z, kept[q][2][r], sum[r]);
        sum[r] = fmaf(x.w, kept[q][3][r], sum[r]);
      }
    }
  }
  /// Halves the rows twice: a lane sends the two (then the one) that its partner keeps. Lanes `distance` apart and more
  /// have parts of the same sum.
  __device__ static float add_slices(const float (&sum)[4], int distance) {
    const bool upper = (slice() & 2) != 0, odd = (slice() & 1) != 0;
    float keep0 = upper ? sum[2] : sum[0], keep1 = upper ? sum[3] : sum[1];
    keep0 += __shfl_xor_sync(0xffffffffu, upper ? sum[0] : sum[2], 2);
    keep1 += __shfl_xor_sync(0xffffffffu, upper ? sum[1] : sum[3], 2);
    float keep = odd ? keep1 : keep0;
    keep += __shfl_xor_sync(0xffffffffu, odd ? keep0 : keep1, 1);
#pragma unroll
    for (; distance < kSlices; distance *= 2) keep += __shfl_xor_sync(0xffffffffu, keep, distance);
    return keep;
  }
};

/// The values of four lanes, 4i .. 4i + 3, for all of them.
__device__ inline void gather_four(float value, float (&all)[4]) {
  const bool upper = (threadIdx.x & 2) != 0, odd = (threadIdx.x & 1) != 0;
  const float neighbour = __shfl_xor_sync(0xffffffffu, value, 1);
  const float even_value = odd ? neighbour : value, odd_value = odd ? value : neighbour;
  const float other_even = __shfl_xor_sync(0xffffffffu, even_value, 2);
  const float other_odd = __shfl_xor_sync(0xffffffffu, odd_value, 2);
  all[0] = upper ? other_even : even_value;
  all[1] = upper ? other_odd : odd_value;
  all[2] = upper ? even_value : other_even;
  all[3] = upper ? odd_value : other_odd;
}

}  // namespace reel::cuda
