// A matrix that a warp keeps in registers, as operands of its tensor core instructions, for many products with the
// vectors of eight batch rows.
//
// D [unit, row] = A [unit, k] . B [k, row], in tiles of mma.m16n8k16: the matrix is A, so that eight batch rows fill an
// instruction. A thread's results are element e of a tile: unit tile_unit(e) of it, batch row tile_row(e); fragment
// layouts: PTX ISA, "Matrix Fragments for mma.m16n8k16". Vectors lie in shared memory row by row, padded so that
// neither ldmatrix nor stores have conflicts.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_ptx.h>

#include "kernels/cuda/device.h"
#include "kernels/cuda/recurrence/arguments.cuh"

namespace reel::cuda {

__device__ inline void round_to(float x, __half& y) { y = __float2half_rn(x); }
__device__ inline void round_to(float x, __nv_bfloat16& y) { y = __float2bfloat16_rn(x); }
__device__ inline void multiply_tile(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], __half) {
  mma_fp16(d, a, b);
}
__device__ inline void multiply_tile(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                                     __nv_bfloat16) {
  mma_bf16(d, a, b);
}

constexpr int kTileUnits = 16, kTileRows = 8, kTileResults = 4;  // of a thread

__device__ inline int tile_unit(int e) { return static_cast<int>(threadIdx.x) % 32 / 4 + e / 2 * 8; }
__device__ inline int tile_row(int e) { return static_cast<int>(threadIdx.x) % 4 * 2 + e % 2; }

/// kTiles tiles of a warp, of kDepth columns; Element is __half or __nv_bfloat16. Sums along k are kept in kChains
/// parts: a chain of instructions is as much shorter.
template <int kTiles, int kDepth, int kChains, class Element>
struct TensorCoreTiles {
  static constexpr int kProducts = kDepth / 16;  // along k
  static_assert(kDepth % 32 == 0 && (kChains == 1 || kChains == 2));
  using Vectors = Element[kTileRows][kDepth + 8];
  using Results = float[kTiles][kTileResults];

  std::uint32_t a[kTiles][kProducts][4];

  /// Shared memory that a warp needs while it loads, 16-byte aligned.
  static constexpr int kColumns = 32;
  using Staging = Element[kTileUnits][kColumns + 8];

  /// element(m, unit, k): that of a unit of tile m. `memory` has a Staging for each warp, and is free afterwards. Lanes
  /// go along k or, with kAlongUnits, from unit to unit: where the matrix is contiguous.
  template <bool kAlongUnits, class Matrix>
  __device__ void load(void* memory, const Matrix& element) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    Staging& staging = static_cast<Staging*>(memory)[threadIdx.x / 32];
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int k = 0; k < kProducts; k += kColumns / 16) {
        __syncwarp();  // all have read what was there
#pragma unroll 4
        for (int i = lane; i < kTileUnits * kColumns; i += 32) {
          const int unit = kAlongUnits ? i % kTileUnits : i / kColumns,
                    column = kAlongUnits ? i / kTileUnits : i % kColumns;
          round_to(element(m, unit, k * 16 + column), staging[unit][column]);
        }
        __syncwarp();
#pragma unroll
        for (int half = 0; half < kColumns / 16; ++half) {
          ldmatrix_x4(a[m][k + half], &staging[lane % 16][half * 16 + lane / 16 * 8]);
        }
      }
    }
    __syncthreads();
  }

  /// The products with all rows' vectors.
  __device__ void times(const Vectors& vectors, Results& results) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const Element* const from = &vectors[lane % 8][lane / 8 * 8];
    float sums[kChains][kTiles][kTileResults] = {};
#pragma unroll
    for (int k = 0; k < kProducts; k += 2) {
      std::uint32_t loaded[4];
      ldmatrix_x4(loaded, from + k * 16);
      const std::uint32_t b0[2] = {loaded[0], loaded[1]}, b1[2] = {loaded[2], loaded[3]};
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        multiply_tile(sums[k % kChains][m], a[m][k], b0, Element());
        multiply_tile(sums[(k + 1) % kChains][m], a[m][k + 1], b1, Element());
      }
    }
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int e = 0; e < kTileResults; ++e) {
        results[m][e] = sums[0][m][e];
#pragma unroll
        for (int chain = 1; chain < kChains; ++chain) results[m][e] += sums[chain][m][e];
      }
    }
  }
};

/// The batch rows of a tile that this thread has results of.
struct TileRows {
  int row[2], length[2];  // length 0 beyond the batch
  int longest;            // of the whole tile

  /// Of the tile whose first row is `first`.
  __device__ TileRows(const std::int32_t* lengths, int first, int batch)
      : longest(longest_row<kTileRows>(lengths, first, batch)) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      row[e] = first + tile_row(e);
      length[e] = row[e] < batch ? lengths[row[e]] : 0;
    }
  }
};

/// Which row of a table the next step of each of a thread's two batch rows has.
struct NextRows {
  const std::int32_t* row_of;  // [B, T]
  const TileRows& rows;
  int steps;
  int next[2] = {};

  __device__ void read(int t) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      if (t >= 0 && t < rows.length[e]) next[e] = row_of[static_cast<std::size_t>(rows.row[e]) * steps + t];
    }
  }
};

}  // namespace reel::cuda
