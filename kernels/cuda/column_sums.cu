// Sums of a matrix's columns: a thread for each slice of the rows and column, then one for each column over the slices'
// sums.
#include "kernels/cuda/column_sums.h"

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/reduce.cuh"

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
  const std::int64_t first = i / args.columns, rows = (args.rows - first + args.slices - 1) / args.slices;
  args.sums[i] = add_in_order(0, args.matrix + first * args.stride + i % args.columns, args.slices * args.stride, rows);
}

}  // namespace

void sum_columns(CudaContext& context, const ColumnSums& args) {
  constexpr int kSlices = ColumnSums::kSlices;
  float* const slices = context.scratch.take<float>(kSlices * args.columns);
  const int columns = static_cast<int>(args.columns);
  const std::int64_t rows = (args.rows + kSlices - 1) / kSlices;
  const auto loads = static_cast<double>(rows / kLoadsAtOnce + rows % kLoadsAtOnce);
  launch(sum_slices_kernel,
         over(context, kSlices * args.columns, {.bytes = bytes_of(args.rows * args.columns), .loads = loads}),
         {args.matrix, slices, args.rows, args.stride, columns, kSlices});
  launch(sum_slices_kernel,
         over(context, args.columns, {.bytes = bytes_of(kSlices * args.columns), .loads = kSlices / kLoadsAtOnce}),
         {slices, args.sums, kSlices, args.columns, columns, 1});
}

}  // namespace reel::cuda
