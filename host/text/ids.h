// Word ids as JSON: {"ids": [1, 14, 22]}.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

/// Throws Error, which begins with `where`, on anything else, and where an id is not one of 0 to `vocabulary` - 1.
std::vector<std::int32_t> parse_ids(std::string_view line, std::int64_t vocabulary, const std::string& where);

}  // namespace reel
