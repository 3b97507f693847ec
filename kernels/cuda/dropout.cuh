// Dropout's masks.
#pragma once

#include <cstddef>

#include "kernels/contract/clock.h"
#include "kernels/cuda/device.h"

namespace reel::cuda {

/// 0 or 1 / (1 - rate): by what dropout multiplies the element at `position`.
__device__ inline float dropout_factor(float rate, const RandomKey& key, const StepClock* clock, std::size_t position) {
  if (rate <= 0) return 1;
  const PhiloxBlock block = random_block(key_at(clock, key), position / 4);
  const unsigned which = position % 4;  // chosen among registers: an array that is indexed lies in local memory
  const std::uint32_t bits = which < 2 ? (which == 0 ? block[0] : block[1]) : (which == 2 ? block[2] : block[3]);
  return to_uniform(bits) >= rate ? 1.0f / (1.0f - rate) : 0.0f;
}

}  // namespace reel::cuda
