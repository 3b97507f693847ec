// A matrix [kHidden, kHidden] that one block keeps for many products with a vector: its first columns in registers, the
// others in shared memory.
//
// 2 kHidden threads: eight of them share four rows. Of each 32 columns, a thread holds four (one float4 of the vector):
// thread 8g + s has rows 4g..4g+3 and columns 32q + 4s .. 32q + 4s + 3 for every q. A product reads the vector as
// float4 without bank conflicts, and adds the eight partial sums of a row by three shuffles, after which lanes 2i and
// 2i + 1 both have row 4g + i.
#pragma once

#include "kernels/cuda/device.h"

namespace reel::cuda {

template <int kHidden>
struct ResidentMatrix {
  static constexpr int kThreads = 2 * kHidden;
  static constexpr int kChunks = kHidden / 32;                     // of 32 columns
  static constexpr int kInRegisters = kChunks <= 4 ? kChunks : 4;  // 64 registers a thread
  static constexpr int kInShared = kChunks - kInRegisters;
  static constexpr int kSharedFloats = kInShared * 16 * kThreads;

  float kept[kInRegisters][4][4];  // [chunk][column][row]
  float4* spilled;                 // [kInShared][4 columns][kThreads], the four rows in a float4
  int row;                         // that this thread has after a product

  /// Reads `matrix` [size, size], size <= kHidden, or its transpose, and fills up with zeros.
  __device__ void load(const float* matrix, int size, bool transposed, float* shared) {
    const int first_row = static_cast<int>(threadIdx.x) / 8 * 4, slice = static_cast<int>(threadIdx.x) % 8;
    spilled = reinterpret_cast<float4*>(shared);
    row = first_row + slice / 2;
    const auto element = [&](int r, int c) {
      return r < size && c < size ? matrix[transposed ? c * size + r : r * size + c] : 0.0f;
    };
#pragma unroll
    for (int q = 0; q < kInRegisters; ++q) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int o = 0; o < 4; ++o) kept[q][i][o] = element(first_row + o, 32 * q + 4 * slice + i);
      }
    }
    for (int i = 0; i < 4 * kInShared; ++i) {
      const int column = 32 * (kInRegisters + i / 4) + 4 * slice + i % 4;
      spilled[i * kThreads + static_cast<int>(threadIdx.x)] =
          make_float4(element(first_row, column), element(first_row + 1, column), element(first_row + 2, column),
                      element(first_row + 3, column));
    }
  }

  /// This thread's row times `vector` [kHidden], 16-byte aligned in shared memory.
  __device__ float times(const float* vector) const {
    const int slice = static_cast<int>(threadIdx.x) % 8;
    const float4* const parts = reinterpret_cast<const float4*>(vector) + slice;
    float sum[4] = {};
#pragma unroll
    for (int q = 0; q < kInRegisters; ++q) {
      const float4 x = parts[8 * q];
#pragma unroll
      for (int o = 0; o < 4; ++o) {
        sum[o] = fmaf(x.x, kept[q][0][o], sum[o]);
        sum[o] = fmaf(x.y, kept[q][1][o], sum[o]);
        sum[o] = fmaf(x.z, kept[q][2][o], sum[o]);
        sum[o] = fmaf(x.w, kept[q][3][o], sum[o]);
      }
    }
#pragma unroll 1
    for (int q = 0; q < kInShared; ++q) {
      const float4 x = parts[8 * (kInRegisters + q)];
      const float4* const w = spilled + 4 * q * kThreads + static_cast<int>(threadIdx.x);
      add_column(sum, x.x, w[0]);
      add_column(sum, x.y, w[kThreads]);
      add_column(sum, x.z, w[2 * kThreads]);
      add_column(sum, x.w, w[3 * kThreads]);
    }
    return add_slices(sum, slice);
  }

 private:
  __device__ static void add_column(float (&sum)[4], float x, const float4& w) {
    sum[0] = fmaf(x, w.x, sum[0]);
    sum[1] = fmaf(x, w.y, sum[1]);
    sum[2] = fmaf(x, w.z, sum[2]);
    sum[3] = fmaf(x, w.w, sum[3]);
  }

  /// Halves the rows twice: a lane sends the two (then the one) that its partner keeps.
  __device__ static float add_slices(const float (&sum)[4], int slice) {
    const bool upper = (slice & 4) != 0, odd = (slice & 2) != 0;
    float keep0 = upper ? sum[2] : sum[0], keep1 = upper ? sum[3] : sum[1];
    keep0 += __shfl_xor_sync(0xffffffffu, upper ? sum[0] : sum[2], 4);
    keep1 += __shfl_xor_sync(0xffffffffu, upper ? sum[1] : sum[3], 4);
    float keep = odd ? keep1 : keep0;
    keep += __shfl_xor_sync(0xffffffffu, odd ? keep0 : keep1, 2);
    return keep + __shfl_xor_sync(0xffffffffu, keep, 1);
  }
};

}  // namespace reel::cuda
