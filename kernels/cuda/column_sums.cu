// Sums of a matrix's columns: a block for each kColumns columns and slice of the rows, kRows threads a column, whose
// sums are added in order; the last block of these columns to end adds the slices' sums, in order.
#include "kernels/cuda/column_sums.h"

#include <cuda_bf16.h>

#include <algorithm>

#include "kernels/contract/packed.h"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/reduce.cuh"

namespace reel::cuda {
namespace {

constexpr int kColumns = 32, kRows = 8;

struct ColumnSumArgs {
  const float* matrix;  // [rows, columns], rows `stride` numbers apart
  float* partial;       // [slices, columns]
  float* sums;          // [columns]
  std::uint32_t* arrived;
  std::int64_t rows, stride, columns;
  std::int64_t slices;
  std::int64_t packed;  // 0 or 1: the matrix' numbers are bfloat16
};

/// Of a column's rows first, first + step, ... by each of its threads, the sum of them all in the first one. All
/// threads of a block call it.
template <class Number>
__device__ inline float sum_column(const Number* column, std::int64_t rows, std::int64_t stride, std::int64_t first,
                                   std::int64_t step, bool there, float (&sums)[kRows][kColumns]) {
  const int lane = static_cast<int>(threadIdx.x) % kColumns, thread = static_cast<int>(threadIdx.x) / kColumns;
  const std::int64_t count = there && first < rows ? (rows - first + step - 1) / step : 0;
  float sum = add_in_order(0, column + first * stride, step * stride, count);
  sums[thread][lane] = sum;
  __syncthreads();
  for (int i = 1; thread == 0 && i < kRows; ++i) sum += sums[i][lane];
  return sum;
}

__global__ void sum_columns_kernel(ColumnSumArgs args) {
  REEL_SHARED(float[kRows][kColumns], sums);
  const int thread = static_cast<int>(threadIdx.x) / kColumns;
  const std::int64_t tile = blockIdx.x / args.slices, slice = blockIdx.x % args.slices;
  const std::int64_t j = tile * kColumns + threadIdx.x % kColumns;
  const bool there = j < args.columns, writes = there && thread == 0;
  const auto sum_rows = [&](auto* column) {
    return sum_column(column, args.rows, args.stride, slice * kRows + thread, args.slices * kRows, there, sums);
  };
  float sum =
      args.packed ? sum_rows(reinterpret_cast<const __nv_bfloat16*>(args.matrix) + j) : sum_rows(args.matrix + j);
  if (args.slices > 1) {
    if (writes) args.partial[slice * args.columns + j] = sum;
    if (!is_last_block(args.arrived + tile, static_cast<unsigned>(args.slices))) return;
    sum = sum_column(args.partial + j, args.slices, args.columns, thread, kRows, there, sums);
  }
  if (writes) args.sums[j] = sum;
}

std::int64_t tiles_of(const ColumnSums& args) { return (args.columns + kColumns - 1) / kColumns; }

}  // namespace

std::int64_t ColumnSums::slices() const {
  constexpr std::int64_t kLeastRows = 2 * kLoadsAtOnce * kRows, kBlocks = 1024, kMost = 256;
  const std::int64_t tiles = tiles_of(*this);
  if (tiles > CudaContext::kCounters) return 1;
  return std::clamp<std::int64_t>((rows + kLeastRows - 1) / kLeastRows, 1, std::min(kMost, kBlocks / tiles));
}

void sum_columns(CudaContext& context, const ColumnSums& args) {
  const std::int64_t slices = args.slices();
  const auto loads = [](std::int64_t rows) {
    return static_cast<double>((rows + kRows * kLoadsAtOnce - 1) / (kRows * kLoadsAtOnce));
  };
  launch(sum_columns_kernel,
         per_block(context, tiles_of(args) * slices, kRows * kColumns,
                   {.bytes = bytes_of(packed_size(args.rows * args.columns, args.packed)),
                    .loads = loads((args.rows + slices - 1) / slices),
                    .last_loads = slices > 1 ? 1 + loads(slices) : 0}),
         {args.matrix, context.scratch.take<float>(slices * args.columns), args.sums, context.arrived, args.rows,
          args.stride, args.columns, slices, args.packed});
}

}  // namespace reel::cuda
