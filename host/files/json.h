// JSON from strangers.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace reel {

/// Throws Error, which begins with `where`, on anything but JSON whose objects have different keys and which is nested
/// no deeper than kMaxJsonDepth (limits.h).
nlohmann::json parse_json(std::string_view text, const std::string& where);

/// object[key], which has to be a whole number that 64 bits with a sign hold. (nlohmann would convert any number.)
std::int64_t integer_at(const nlohmann::json& object, const char* key, const std::string& where);

/// The value as a message can show it: on one line, not long.
std::string excerpt(const nlohmann::json& value);

}  // namespace reel
