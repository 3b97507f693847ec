// Instructions that the hardware does only roughly: here about as roughly. And those of its float32 instructions that
// C++ has no function for.
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

/// By how many ulps reciprocal_approx() is off: the hardware's may be by one, up or down.
inline thread_local int reciprocal_error = 0;

/// rcp.approx.ftz.f32 of a normal x: 1 / x, rounded correctly, and as far off as a test wants it.
inline float reciprocal_approx(float x) { return std::bit_cast<float>(std::bit_cast<int>(1 / x) + reciprocal_error); }

inline float min_or_nan(float a, float b) { return a != a ? a : b < a || b != b ? b : a; }
inline float max_or_nan(float a, float b) { return a != a ? a : b > a || b != b ? b : a; }

}  // namespace reel::emulator
