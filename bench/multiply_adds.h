// The most multiply-adds that a core does.
#pragma once

#include <cstdint>

namespace reel::bench {

/// Does nothing but float32 multiply-adds, in the widest vectors there are, `rounds` of each of twelve chains. Returns
/// their FLOP; `sum` is there so that they are done.
double multiply_adds(std::int64_t rounds, float& sum);

}  // namespace reel::bench
