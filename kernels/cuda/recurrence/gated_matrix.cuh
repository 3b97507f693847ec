// W_hh of a gated cell, which the blocks of a cluster keep together in registers, each that of its own units' gates.
//
// A thread has kChunks * 4 columns of up to four rows; kSlices neighbours share the rows. Of each 4 kSlices columns, it
// holds four (one float4 of the vector), so that a product reads the vector without bank conflicts, and adds the sums
// of its rows over its neighbours by shuffles, after which lane s has row s % 4.
#pragma once

#include <cuda_ptx.h>

#include "kernels/cuda/device.h"

namespace reel::cuda {

/// How the units of a layer of up to kHidden are shared.
template <int kHidden>
struct GatedShape {
  static constexpr int kBlocks = kHidden <= 64 ? 1 : kHidden <= 128 ? 2 : 8;  // of a cluster
  static constexpr int kUnits = kHidden / kBlocks;                            // of a block
  static constexpr int kColumns = kHidden <= 64 ? 16 : 32;                    // of a row that a thread keeps
  static constexpr int kThreads = kUnits * kHidden / kColumns;
  static constexpr int kResident = kHidden <= 64 ? 0 : 1;  // blocks a multiprocessor at least; 0: ptxas makes it two
  static constexpr int kRows = kHidden <= 128 ? 1 : 2;  // batch rows at once, at most: a unit has lanes for two there
};

template <int kSlices, int kChunks, int kRows>
struct SlicedMatrix {
  static_assert(kSlices >= 4 && kSlices <= 32 && kRows <= 4);
  float kept[kChunks][4][kRows];  // [chunk][column][sum]

  __device__ static int slice() { return static_cast<int>(threadIdx.x) % kSlices; }
  /// The row of a lane's sum o. Of four rows, those that it sends to its partners are the same sums in every lane.
  __device__ static int row_of(int o) { return kRows == 4 ? o ^ slice() % 4 : o; }

  /// element(row, column) of this thread's rows.
  template <class Element>
  __device__ void load(const Element& element) {
#pragma unroll
    for (int q = 0; q < kChunks; ++q) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int o = 0; o < kRows; ++o) kept[q][i][o] = element(row_of(o), 4 * (kSlices * q + slice()) + i);
      }
    }
  }

  /// Where a product reads `vector` [kChunks * kSlices * 4], 16-byte aligned in shared memory.
  __device__ static SharedAddress part(const float* vector) { return opaque_address(vector + 4 * slice()); }

  /// Row slice() % 4, 0 if there is none, times the vector at part(vector). While it is read, meanwhile().
  template <class Meanwhile>
  __device__ float times(SharedAddress vector, const Meanwhile& meanwhile) const {
    float sum[4] = {};
    multiply(vector, sum, meanwhile);
    return add_slices(sum, 4);
  }
  /// The same with one of two vectors, which lanes four apart do not have in common; with the other for that lane.
  template <class Meanwhile>
  __device__ float times(SharedAddress vector, SharedAddress other_vector, const Meanwhile& meanwhile) const {
    static_assert(kSlices >= 8);
    float sum[4] = {}, other[4] = {};
    multiply(vector, sum, meanwhile);
    multiply(other_vector, other, [] {});
#pragma unroll
    for (int o = 0; o < kRows; ++o) sum[o] += __shfl_xor_sync(0xffffffffu, other[o], 4);
    return add_slices(sum, 8);
  }

 private:
  template <class Meanwhile>
  __device__ void multiply(SharedAddress vector, float (&sum)[4], const Meanwhile& meanwhile) const {
    float4 x[kChunks];
#pragma unroll
    for (int q = 0; q < kChunks; ++q) x[q] = load_shared_4(vector + 16 * kSlices * q);
    meanwhile();
#pragma unroll
    for (int q = 0; q < kChunks; ++q) {
#pragma unroll
      for (int o = 0; o < kRows; ++o) {
        sum[o] = fmaf(x[q].x, kept[q][0][o], sum[o]);
        sum[o] = fmaf(x[q].y, kept[q][1][o], sum[o]);
        sum[o] = fmaf(x[q].z, kept[q][2][o], sum[o]);
        sum[o] = fmaf(x[q].w, kept[q][3][o], sum[o]);
      }
    }
  }
  /// Halves the rows twice: a lane sends the two (then the one) that its partner keeps. Lanes `distance` apart and more
  /// have parts of the same sum.
  __device__ static float add_slices(float (&sum)[4], int distance) {
    if constexpr (kRows < 4) {  // as if the sums were numbered so
      const bool upper = (slice() & 2) != 0, odd = (slice() & 1) != 0;
      const float keep0 = upper ? sum[2] : sum[0], keep1 = upper ? sum[3] : sum[1];
      const float send0 = upper ? sum[0] : sum[2], send1 = upper ? sum[1] : sum[3];
      sum[0] = odd ? keep1 : keep0;
      sum[1] = odd ? keep0 : keep1;
      sum[2] = odd ? send1 : send0;
      sum[3] = odd ? send0 : send1;
    }
    sum[0] += __shfl_xor_sync(0xffffffffu, sum[2], 2);
    sum[1] += __shfl_xor_sync(0xffffffffu, sum[3], 2);
    sum[0] += __shfl_xor_sync(0xffffffffu, sum[1], 1);
#pragma unroll
    for (; distance < kSlices; distance *= 2) sum[0] += __shfl_xor_sync(0xffffffffu, sum[0], distance);
    return sum[0];
  }
};

/// The values of four lanes, 4i .. 4i + 3, for all of them.
__device__ inline void gather_four(float value, float (&all)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) all[i] = __shfl_sync(0xffffffffu, value, i, 4);
}

}  // namespace reel::cuda
