// The gradient of W_hh from packed sequences, on tensor cores: sums over all steps of dz[t, b] h[t, b]^T.
//
// Both factors lie in memory step by step, k along the rows, so that both are transposed on their way from shared
// memory to the fragments of mma.m16n8k16. dz is bfloat16; h, fp16, is rounded to it there: each product has the
// mantissa that dz has anyway. A block has a tile of the gradient and a slice of the positions t B + b, which it takes
// kDepth at a time, kStages of them under way; what a row does not have is 0. Slices are added up in order by a second
// kernel: the bits depend on shapes and device alone.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_ptx.h>

#include <algorithm>

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/recurrence/strategies.h"
#include "kernels/cuda/reduce.cuh"

namespace reel::cuda {
namespace {

constexpr int kTile = 128;                               // units of dz, and of h, of a block
constexpr int kDepth = 16, kStages = 5, kThreads = 256;  // positions of a product; of them under way; two rows of warps
constexpr int kWarpRows = 64, kWarpColumns = 32;         // of the tile
constexpr int kPiece = 8, kPieces = kTile / kPiece;      // numbers that are copied at once
static_assert(kDepth * kPieces == kThreads);             // a piece of each factor for every thread
static_assert(kTile / kWarpRows * (kTile / kWarpColumns) * 32 == kThreads);

using Factor = std::uint16_t[kDepth][kTile + kPiece];  // padded: rows of a matrix lie in different banks

struct WeightGradientArgs {
  const std::int32_t* lengths;  // [B]
  const std::uint16_t* d;       // [T*B, rows] bfloat16
  const std::uint16_t* h;       // [T*B, columns] fp16
  float* slices;                // [gridDim.x, rows, columns]
  int batch, positions, depth;  // of all, and of a slice: a multiple of kDepth
  int rows, columns;            // G*H, H: multiples of kPiece
};

/// What a thread copies: a piece of a position's numbers of each factor, kDepth positions further each time.
struct Pieces {
  const WeightGradientArgs& args;
  const std::uint16_t *d, *h;
  int row, column, position, end, t, b;
  bool has_d, has_h;

  __device__ Pieces(const WeightGradientArgs& all, int first_row, int first_column, int begin, int slice_end)
      : args(all),
        row(static_cast<int>(threadIdx.x) / kPieces),
        column(static_cast<int>(threadIdx.x) % kPieces * kPiece),
        position(begin + row),
        end(slice_end),
        t(position / all.batch),
        b(position % all.batch),
        has_d(first_row + column < all.rows),
        has_h(first_column + column < all.columns) {
    d = all.d + static_cast<std::size_t>(position) * all.rows + first_row + column;
    h = all.h + static_cast<std::size_t>(position) * all.columns + first_column + column;
  }
  __device__ void fetch(Factor& d_factor, Factor& h_factor) {
    const bool exists = position < end && t < args.lengths[b];
    copy(&d_factor[row][column], d, exists && has_d);
    copy(&h_factor[row][column], h, exists && has_h);
    cp_async_commit();
    position += kDepth;
    d += static_cast<std::size_t>(kDepth) * args.rows;
    h += static_cast<std::size_t>(kDepth) * args.columns;
    for (b += kDepth; b >= args.batch; b -= args.batch) ++t;
  }
  __device__ static void copy(void* to, const void* from, bool exists) {
    if (exists) {
      cp_async<16>(to, from);
    } else {
      *static_cast<uint4*>(to) = uint4{0, 0, 0, 0};
    }
  }
};

/// Two fp16 numbers as bfloat16.
__device__ inline std::uint32_t to_bf16(std::uint32_t pair) {
  const auto number = [pair](int half) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(pair >> 16 * half)));
  };
  return pack_bf16(number(0), number(1));
}

__global__ void __launch_bounds__(kThreads, 2) weight_gradient_kernel(WeightGradientArgs args) {
  REEL_SHARED(Factor[kStages], d_factors);
  REEL_SHARED(Factor[kStages], h_factors);
  const int first_row = static_cast<int>(blockIdx.y) * kTile, first_column = static_cast<int>(blockIdx.z) * kTile;
  const int begin = static_cast<int>(blockIdx.x) * args.depth, end = min(begin + args.depth, args.positions);
  Pieces pieces(args, first_row, first_column, begin, end);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int row = warp / (kTile / kWarpColumns) * kWarpRows, column = warp % (kTile / kWarpColumns) * kWarpColumns;
  constexpr int kRowTiles = kWarpRows / 16, kColumnTiles = kWarpColumns / 8;
  float sums[kRowTiles][kColumnTiles][4] = {};
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) pieces.fetch(d_factors[s], h_factors[s]);
  int stage = 0;
#pragma unroll 1
  for (int k = begin; k < end; k += kDepth) {
    cp_async_wait<kStages - 2>();
    __syncthreads();  // all have what they copied, and are done with the stage before
    const int next = stage == 0 ? kStages - 1 : stage - 1;
    pieces.fetch(d_factors[next], h_factors[next]);
    std::uint32_t a[kRowTiles][4], b[kColumnTiles / 2][4];
#pragma unroll
    for (int i = 0; i < kRowTiles;
         ++i) {  // matrices: units 0 to 7, 8 to 15 of eight positions, then of the other eight
      ldmatrix_x4_transposed(a[i], &d_factors[stage][lane / 16 * 8 + lane % 8][row + i * 16 + lane / 8 % 2 * 8]);
    }
#pragma unroll
    for (int j = 0; j < kColumnTiles / 2; ++j) {  // eight units of all positions, then the next eight
      ldmatrix_x4_transposed(b[j], &h_factors[stage][lane % 16][column + j * 16 + lane / 16 * 8]);
#pragma unroll
      for (std::uint32_t& pair : b[j]) pair = to_bf16(pair);
    }
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int j = 0; j < kColumnTiles; ++j) {
        const std::uint32_t pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
        mma_bf16(sums[i][j], a[i], pair);
      }
    }
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }
  float* const slice = args.slices + static_cast<std::size_t>(blockIdx.x) * args.rows * args.columns;
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int j = 0; j < kColumnTiles; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int m = first_row + row + i * 16 + half * 8 + lane / 4;
        const int n = first_column + column + j * 8 + lane % 4 * 2;
        if (m >= args.rows || n >= args.columns) continue;
        *reinterpret_cast<float2*>(slice + m * args.columns + n) = {sums[i][j][half * 2], sums[i][j][half * 2 + 1]};
      }
    }
  }
}

struct AddSlicesArgs {
  const float* slices;  // [count, size]
  float* sums;          // [size]
  std::int64_t size, count;
};

__global__ void add_slices_kernel(AddSlicesArgs args) {
  const std::int64_t i = global_thread();
  if (i < args.size) args.sums[i] = add_in_order(0, args.slices + i, args.size, args.count);
}

}  // namespace

void weight_gradient(CudaContext& context, const RecurrenceBackward<float>& op) {
  const auto [B, T, H] = op.shape;
  const std::int64_t rows = traits(op.cell).gates * H, positions = T * B, size = rows * H;
  const std::int64_t row_tiles = (rows + kTile - 1) / kTile, column_tiles = (H + kTile - 1) / kTile;
  const std::int64_t most =
      std::max<std::int64_t>(context.platform.limits().multiprocessors / row_tiles / column_tiles, 1);
  const std::int64_t depth = ((positions + most - 1) / most + kDepth - 1) / kDepth * kDepth;
  const std::int64_t slices = (positions + depth - 1) / depth;
  context.scratch.reserve(Scratch::need<float>(slices * size));
  float* const sums = context.scratch.take<float>(slices * size);
  launch(weight_gradient_kernel,
         {.grid = dim3(static_cast<unsigned>(slices), static_cast<unsigned>(row_tiles),
                       static_cast<unsigned>(column_tiles)),
          .block = dim3(kThreads),
          .stream = context.platform.stream(),
          .work = {.bytes = 2.0 * static_cast<double>(positions * (rows + H)) + bytes_of(slices * size),
                   .flops = 2.0 * static_cast<double>(positions) * static_cast<double>(size),
                   .tensor_cores = true,
                   .loads = 3}},
         {op.lengths.data(), reinterpret_cast<const std::uint16_t*>(op.recurrent_gradient().data()),
          reinterpret_cast<const std::uint16_t*>(op.h.data()), sums, static_cast<int>(B), static_cast<int>(positions),
          static_cast<int>(depth), static_cast<int>(rows), static_cast<int>(H)});
  const auto loads = static_cast<double>(slices / kLoadsAtOnce + slices % kLoadsAtOnce);
  launch(add_slices_kernel, over(context, size, {.bytes = bytes_of(slices * size), .loads = loads}),
         {sums, op.d_w_hh.data(), size, slices});
}

}  // namespace reel::cuda
