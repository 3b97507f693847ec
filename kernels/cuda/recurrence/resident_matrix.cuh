// A matrix [kHidden, kHidden] that one block keeps for many products with a vector: in registers, and some of its
// columns in shared memory where registers do not hold all.
//
// 2 kHidden threads: eight of them share four rows. Of each 32 columns, a thread holds four (one float4 of the vector):
// thread 8g + s has rows 4g..4g+3 and columns 32q + 4s .. 32q + 4s + 3 for every q. A product reads the vector as
// float4 without bank conflicts, and adds the eight partial sums of a row by three shuffles, after which lanes 2i and
// 2i + 1 both have row 4g + i. A lane sends what its partner keeps: its sums are numbered so that these are the same
// ones in every lane, sum o being that of row 4g + (o ^ s / 2).
#pragma once

#include <cuda_ptx.h>

#include "kernels/cuda/device.h"

namespace reel::cuda {

/// kBusy: with eight weights less in registers where they are scarce, for a kernel that needs more of its own.
template <int kHidden, bool kBusy = false>
struct ResidentMatrix {
  static constexpr int kThreads = 2 * kHidden;
  static constexpr int kBlocks = kHidden <= 128 ? 2 : 1;  // whose registers fit on a multiprocessor together
  static constexpr int kChunks = kHidden / 32;            // of 32 columns

  /// Of a thread's four columns of chunk q, how many are in registers: of 128 that a thread has, 96 or 88 for weights.
  static constexpr int kept_columns(int q) { return kHidden <= 128 ? 4 : kBusy && q % 4 == 3 ? 2 : 3; }
  /// The others, of the chunks before q.
  static constexpr int spilled_before(int q) { return kHidden <= 128 ? 0 : kBusy ? q + q / 4 : q; }
  static constexpr int kSharedFloats = spilled_before(kChunks) * 4 * kThreads;

  float kept[kChunks][4][4];  // [chunk][column][sum]
  SharedAddress spilled;      // float4 [column][thread], a column's four sums each
  int row;                    // that this thread has after a product

  /// Reads `matrix` [size, size], size <= kHidden, or its transpose, and fills up with zeros.
  __device__ void load(const float* matrix, int size, bool transposed, float* shared) {
    const int me = static_cast<int>(threadIdx.x), first_row = me / 8 * 4, slice = me % 8;
    row = first_row + slice / 2;
    const auto element = [&](int q, int i, int o) {
      const int r = first_row + (o ^ slice / 2), c = 32 * q + 4 * slice + i;
      return r < size && c < size ? matrix[transposed ? c * size + r : r * size + c] : 0.0f;
    };
#pragma unroll
    for (int q = 0; q < kChunks; ++q) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (i < kept_columns(q)) {
#pragma unroll
          for (int o = 0; o < 4; ++o) kept[q][i][o] = element(q, i, o);
        } else {
          reinterpret_cast<float4*>(shared)[(spilled_before(q) + i - kept_columns(q)) * kThreads + me] =
              make_float4(element(q, i, 0), element(q, i, 1), element(q, i, 2), element(q, i, 3));
        }
      }
    }
    if constexpr (kSharedFloats > 0) spilled = opaque_address(shared + 4 * me);
  }

  /// Where a product reads `vector` [kHidden], 16-byte aligned in shared memory.
  __device__ static SharedAddress part(const float* vector) {
    return opaque_address(vector + 4 * (static_cast<int>(threadIdx.x) % 8));
  }

  /// This thread's row times the vector at part(vector). Meanwhile() runs while its loads are under way, or, where
  /// registers are scarce, before the sums are added.
  template <class Meanwhile>
  __device__ float times(SharedAddress vector, const Meanwhile& meanwhile) const {
    constexpr int kFirst = kSharedFloats == 0 ? kChunks : 1;  // chunks that are loaded before the first product
    float sum[4] = {};
    float4 first[kFirst];
#pragma unroll
    for (int q = 0; q < kFirst; ++q) first[q] = load_shared_4(vector + 128 * q);
    if constexpr (kSharedFloats == 0) meanwhile();
#pragma unroll
    for (int q = 0; q < kChunks; ++q) {
      if (kSharedFloats > 0 && q == kChunks / 2) hold_loads();
      const float4 part = q < kFirst ? first[q] : load_shared_4(vector + 128 * q);
      const float x[4] = {part.x, part.y, part.z, part.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (i < kept_columns(q)) {
#pragma unroll
          for (int o = 0; o < 4; ++o) sum[o] = fmaf(x[i], kept[q][i][o], sum[o]);
        } else {
          const float4 w = load_shared_4(spilled + (spilled_before(q) + i - kept_columns(q)) * 16 * kThreads);
          sum[0] = fmaf(x[i], w.x, sum[0]);
          sum[1] = fmaf(x[i], w.y, sum[1]);
          sum[2] = fmaf(x[i], w.z, sum[2]);
          sum[3] = fmaf(x[i], w.w, sum[3]);
        }
      }
    }
    if constexpr (kSharedFloats > 0) meanwhile();
    sum[0] += __shfl_xor_sync(0xffffffffu, sum[2], 4);
    sum[1] += __shfl_xor_sync(0xffffffffu, sum[3], 4);
    sum[0] += __shfl_xor_sync(0xffffffffu, sum[1], 2);
    return sum[0] + __shfl_xor_sync(0xffffffffu, sum[0], 1);
  }
};

}  // namespace reel::cuda
