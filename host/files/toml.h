// Flat TOML documents, by toml++.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace reel {

/// The entries `key = value`; numbers and booleans as they would be written on a command line. Throws Error, which
/// begins with `where`, on anything but TOML, and on values that are tables, lists or dates.
std::map<std::string, std::string> parse_toml(std::string_view text, const std::string& where);

/// The text as a TOML string on one line.
std::string toml_string(const std::string& text);

}  // namespace reel
