// Sums of a matrix's columns.
#pragma once

#include "kernels/cuda/context.h"

namespace reel::cuda {

struct ColumnSums {
  const float* matrix;  // [rows, columns], rows `stride` numbers apart
  std::int64_t rows, stride, columns;
  float* sums;          // out [columns]
  bool packed = false;  // the matrix: its numbers are bfloat16

  std::size_t scratch() const { return Scratch::need<float>(slices() * columns); }
  /// Of the rows, so many that a thread of each loads a few times and all of them fill the device.
  std::int64_t slices() const;
};

/// Each column by interleaved slices, which are added in order. Takes scratch() from what the operation has reserved.
void sum_columns(CudaContext& context, const ColumnSums& args);

}  // namespace reel::cuda
