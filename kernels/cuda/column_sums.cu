// Sums of a matrix's columns: a thread for each slice of the rows and column, then one for each column over the slices'
// sums.
#include "kernels/cuda/column_sums.h"

#include "kernels/cuda/elementwise.cuh"

namespace reel::cuda {
namespace {

struct SliceSumArgs {
  const float* matrix;  // [rows, columns], rows `stride` floats apart
  float* sums;          // [slices, columns]: of every slices-th row
  std::int64_t rows, stride;
  int columns, slices;
};

__global__ void sum_slices_kernel(SliceSumArgs args) {
  const std::int64_t i = global_thread();
  if (i >= static_cast<std::int64_t>(args.slices) * args.columns) return;
  const std::int64_t column = i % args.columns;
  float sum = 0;
  for (std::int64_t row = i / args.columns; row < args.rows; row += args.slices) {
    sum += args.matrix[row * args.stride + column];
  }
  args.sums[i] = sum;
}

}  // namespace

void sum_columns(CudaContext& context, const ColumnSums& args) {
  constexpr int kSlices = ColumnSums::kSlices;
  float* const slices = context.scratch.take<float>(kSlices * args.columns);
  const int columns = static_cast<int>(args.columns);
  const auto rows = static_cast<double>((args.rows + kSlices - 1) / kSlices);
  launch(sum_slices_kernel,
         over(context, kSlices * args.columns, {.bytes = bytes_of(args.rows * args.columns), .loads = rows}),
         {args.matrix, slices, args.rows, args.stride, columns, kSlices});
  launch(sum_slices_kernel, over(context, args.columns, {.bytes = bytes_of(kSlices * args.columns), .loads = kSlices}),
         {slices, args.sums, kSlices, args.columns, columns, 1});
}

}  // namespace reel::cuda
