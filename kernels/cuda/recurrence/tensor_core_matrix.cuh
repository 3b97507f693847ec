// A matrix [kHidden, kHidden] that one block keeps in registers, as operands of its tensor core instructions, for many
// products with the vectors of kRows batch rows.
//
// D [unit, row] = A [unit, k] . B [k, row], in tiles of mma.m16n8k16: the matrix is A, so that eight batch rows fill an
// instruction. A warp has kTiles of 16 units each. A thread's results are element e of tile m: unit(m, e) of batch
// row row(e); fragment layouts: PTX ISA, "Matrix Fragments for mma.m16n8k16". Vectors lie in shared memory row by row,
// padded so that neither ldmatrix nor store() has conflicts.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_ptx.h>

#include "kernels/cuda/device.h"

namespace reel::cuda {

__device__ inline std::uint32_t bits_of(__half x) { return __half_as_ushort(x); }
__device__ inline std::uint32_t bits_of(__nv_bfloat16 x) { return __bfloat16_as_ushort(x); }
__device__ inline void round_to(float x, __half& y) { y = __float2half_rn(x); }
__device__ inline void round_to(float x, __nv_bfloat16& y) { y = __float2bfloat16_rn(x); }
__device__ inline void multiply_tile(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], __half) {
  mma_fp16(d, a, b);
}
__device__ inline void multiply_tile(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                                     __nv_bfloat16) {
  mma_bf16(d, a, b);
}

/// Element is __half or __nv_bfloat16.
template <int kHidden, class Element>
struct TensorCoreMatrix {
  static constexpr int kRows = 8;                       // batch rows
  static constexpr int kTiles = kHidden > 128 ? 1 : 2;  // of 16 units, a warp: 64 registers or fewer
  static constexpr int kThreads = 2 * kHidden / kTiles;
  static constexpr int kResults = kTiles * 4;     // of a thread
  static constexpr int kProducts = kHidden / 16;  // along k
  static constexpr int kStride = kHidden + 8;     // of a vector in shared memory
  using Vectors = Element[kRows][kStride];
  using Results = float[kTiles][4];

  std::uint32_t a[kTiles][kProducts][4];
  int first_unit, first_row;  // of this thread's results

  __device__ int unit(int m, int e) const { return first_unit + 16 * m + e / 2 * 8; }
  __device__ int row(int e) const { return first_row + e % 2; }

  /// Reads `matrix` [size, size], size <= kHidden, or its transpose, and fills up with zeros.
  __device__ void load(const float* matrix, int size, bool transposed) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    first_unit = warp * 16 * kTiles + lane / 4;
    first_row = lane % 4 * 2;
    const auto element = [&](int r, int c) {
      Element rounded;
      round_to(r < size && c < size ? matrix[transposed ? c * size + r : r * size + c] : 0.0f, rounded);
      return bits_of(rounded);
    };
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int k = 0; k < kProducts; ++k) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int r = first_unit + 16 * m + i % 2 * 8, c = k * 16 + lane % 4 * 2 + i / 2 * 8;
          a[m][k][i] = element(r, c) | element(r, c + 1) << 16;
        }
      }
    }
  }

  /// The products with all rows' vectors. Even and odd k are summed apart: half as long a chain of instructions.
  __device__ void times(const Vectors& vectors, Results& results) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const Element* const from = &vectors[lane % 8][lane / 8 * 8];
    float odd[kTiles][4] = {};
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int e = 0; e < 4; ++e) results[m][e] = 0;
    }
#pragma unroll
    for (int k = 0; k < kProducts; k += 2) {
      std::uint32_t loaded[4];
      ldmatrix_x4(loaded, from + k * 16);
      const std::uint32_t b0[2] = {loaded[0], loaded[1]}, b1[2] = {loaded[2], loaded[3]};
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        multiply_tile(results[m], a[m][k], b0, Element());
        multiply_tile(odd[m], a[m][k + 1], b1, Element());
      }
    }
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int e = 0; e < 4; ++e) results[m][e] += odd[m][e];
    }
  }
};

}  // namespace reel::cuda
