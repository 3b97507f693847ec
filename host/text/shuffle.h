// Random orders, addressed like every other random number.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/philox.h"

namespace reel {

/// The numbers 0 to count - 1, sorted by the random numbers that `key` gives them.
inline std::vector<std::int32_t> random_order(const RandomKey& key, std::int64_t count) {
  std::vector<std::pair<std::uint32_t, std::int32_t>> keyed(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < keyed.size(); ++i) keyed[i] = {random_bits(key, i), static_cast<std::int32_t>(i)};
  std::ranges::sort(keyed);
  std::vector<std::int32_t> order;
  order.reserve(keyed.size());
  for (const auto& [bits, number] : keyed) order.push_back(number);
  return order;
}

}  // namespace reel
