// Instructions that the hardware does only roughly: here about as roughly.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace reel::emulator {

/// tanh.approx.f32, which is within 2^-10.987 (relative): tanh rounded to 11 bits, within 2^-11.
inline float tanh_approx(float x) {
  constexpr std::uint32_t kDropped = 13;
  const float y = std::tanh(x);
  if (std::isnan(y)) return y;
  const std::uint32_t half = std::uint32_t{1} << (kDropped - 1);
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(y) + half) >> kDropped << kDropped);
}

}  // namespace reel::emulator
