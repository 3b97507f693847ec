// Sequences that a device keeps in 16 bits a number.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace reel {

/// How many elements so many numbers take that are packed, two 16-bit numbers an element, or that are not.
constexpr std::int64_t packed_size(std::int64_t numbers, bool packed) { return packed ? numbers / 2 : numbers; }

/// The number that these bits are in fp16, which is finite.
inline float from_fp16(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                   : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return bits >> 15 == 0 ? size : -size;
}
inline float from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

/// What elements hold that are packed, by one of the above.
template <class Real>
std::vector<float> unpacked(std::span<const Real> elements, float (*from)(std::uint16_t)) {
  static_assert(sizeof(Real) >= 2 * sizeof(std::uint16_t));
  std::vector<float> numbers(2 * elements.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, reinterpret_cast<const char*>(elements.data()) + i * sizeof bits, sizeof bits);
    numbers[i] = from(bits);
  }
  return numbers;
}

}  // namespace reel
