#include "host/files/toml.h"

#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <sstream>

#include "kernels/check.h"

namespace reel {

std::map<std::string, std::string> parse_toml(std::string_view text, const std::string& where) {
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    fail("{}:{}: {}", where, error.source().begin.line, error.description());
  }
  std::map<std::string, std::string> entries;
  for (const auto& [key, value] : table) {
    std::string& entry = entries[std::string(key.str())];
    if (const auto* string = value.as_string()) {
      entry = string->get();
    } else if (const auto* integer = value.as_integer()) {
      entry = std::to_string(integer->get());
    } else if (const auto* real = value.as_floating_point()) {
      entry = fmt::format("{}", real->get());
    } else if (const auto* boolean = value.as_boolean()) {
      entry = boolean->get() ? "true" : "false";
    } else {
      fail("{}:{}: key '{}' is not a single value", where, value.source().begin.line, key.str());
    }
  }
  return entries;
}

std::string toml_string(const std::string& text) {
  std::ostringstream line;
  line << toml::toml_formatter(toml::value<std::string>(text), toml::format_flags::none);
  return line.str();
}

}  // namespace reel
