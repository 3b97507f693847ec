// Sums of a matrix's columns.
#pragma once

#include "kernels/cuda/context.h"

namespace reel::cuda {

struct ColumnSums {
  const float* matrix;  // [rows, columns], rows `stride` floats apart
  std::int64_t rows, stride, columns;
  float* sums;  // out [columns]

  std::size_t scratch() const { return Scratch::need<float>(kSlices * columns); }
  static constexpr int kSlices = 64;
};

/// Each column by interleaved slices, which are added in order. Takes scratch() from what the operation has reserved.
void sum_columns(CudaContext& context, const ColumnSums& args);

}  // namespace reel::cuda
