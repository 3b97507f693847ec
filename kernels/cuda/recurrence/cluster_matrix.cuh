// A matrix [kHidden, kHidden] that the blocks of a cluster keep together, each its share of the rows in registers, for
// many products with the vectors of four batch rows.
//
// A warp has eight rows of the matrix (units), each lane four columns of every 128: lane s has columns 128q + 4s ..
// 128q + 4s + 3 for every q, which makes 128 weights at kHidden = 512. A product reads the vectors as float4 without
// bank conflicts, 16 loads for 512 multiply-adds, which take twice the cycles. The 32 sums of a lane, eight units of
// four batch rows, are added up over the 32 lanes by 31 shuffles, each round halving what a lane still has, after which
// lane 8r + o has unit o of batch row r: one result for every thread. A lane sends what its partner keeps: its sums are
// numbered so that these are the same ones in every lane, sum i of lane l being that of unit and row i ^ l.
#pragma once

#include <cuda_ptx.h>

#include "kernels/cuda/device.h"

namespace reel::cuda {

template <int kHidden>
struct ClusterMatrix {
  static constexpr int kBlocks = 8;  // largest cluster size that every cluster-capable device supports
  static constexpr int kRows = 4;    // batch rows of a product
  static constexpr int kUnits = kHidden / kBlocks;
  static constexpr int kThreads = kUnits * kRows;
  static constexpr int kChunks = kHidden / 128;  // of 128 columns
  static_assert(kHidden % 128 == 0);

  float kept[kChunks][4][8];  // [chunk][column][sum]
  int unit, row;              // of this thread's results

  /// Reads this block's share of `matrix` [size, size], size <= kHidden, or of its transpose; fills up with zeros.
  __device__ void load(const float* matrix, int size, bool transposed) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const int first_unit = static_cast<int>(cluster_rank()) * kUnits + warp * 8;
    unit = first_unit + lane % 8;
    row = lane / 8;
#pragma unroll
    for (int q = 0; q < kChunks; ++q) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int o = 0; o < 8; ++o) {
          const int r = first_unit + (o ^ lane % 8), c = 128 * q + 4 * lane + i;
          kept[q][i][o] = r < size && c < size ? matrix[transposed ? c * size + r : r * size + c] : 0.0f;
        }
      }
    }
  }

  /// Where a product reads `vectors` [kRows, kHidden], 16-byte aligned in shared memory.
  __device__ static SharedAddress part(const float* vectors) {
    return opaque_address(vectors + 4 * (static_cast<int>(threadIdx.x) % 32));
  }

  /// This thread's unit for its batch row, of the vectors at part(vectors).
  __device__ float times(SharedAddress vectors) const {
    constexpr int kRowBytes = kHidden * static_cast<int>(sizeof(float));
    const int own_row = static_cast<int>(threadIdx.x) % 32 / 8;
    float sums[8 * kRows] = {};
#pragma unroll
    for (int q = 0; q < kChunks; ++q) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float4 x = load_shared_4(vectors + (r ^ own_row) * kRowBytes + 512 * q);
#pragma unroll
        for (int o = 0; o < 8; ++o) {
          float& sum = sums[8 * r + o];
          sum = fmaf(x.x, kept[q][0][o], sum);
          sum = fmaf(x.y, kept[q][1][o], sum);
          sum = fmaf(x.z, kept[q][2][o], sum);
          sum = fmaf(x.w, kept[q][3][o], sum);
        }
      }
    }
    halve<16>(sums);
    halve<8>(sums);
    halve<4>(sums);
    halve<2>(sums);
    halve<1>(sums);
    return sums[0];
  }

 private:
  /// Of 2 kHalf sums, the lower half stays and is added to the partner's upper one. After all five rounds sums[0] is
  /// that of this lane over all lanes.
  template <int kHalf>
  __device__ static void halve(float (&sums)[32]) {
#pragma unroll
    for (int i = 0; i < kHalf; ++i) sums[i] += __shfl_xor_sync(0xffffffffu, sums[i + kHalf], kHalf);
  }
};

}  // namespace reel::cuda
