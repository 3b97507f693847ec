// Small kernels for the tests of the runtime.
#pragma once

#include "kernels/cuda/device.h"

namespace reel::runtime {

/// values[i] = value, i < count.
struct FillArgs {
  float* values;
  int count;
  float value;
};

void fill(const FillArgs& args, cudaStream_t stream);
/// Another kernel: adds.
void increase(const FillArgs& args, cudaStream_t stream);
/// Any launch of fill()'s kernel.
void fill(const FillArgs& args, const cuda::Launch& launch);
int fill_clusters(const cuda::Launch& launch);
const void* fill_handle();

}  // namespace reel::runtime
