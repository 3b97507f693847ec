// Dropout's masks.
#pragma once

#include <cstddef>

#include "kernels/cuda/device.h"
#include "kernels/philox.h"

namespace reel::cuda {

/// 0 or 1 / (1 - rate): by what dropout multiplies the element at `position`.
__device__ inline float dropout_factor(float rate, const RandomKey& key, std::size_t position) {
  if (rate <= 0) return 1;
  return random_uniform(key, position) >= rate ? 1.0f / (1.0f - rate) : 0.0f;
}

}  // namespace reel::cuda
