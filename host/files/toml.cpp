#include "host/files/toml.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

// toml++ 3.3 asserts what a file may break ("[" and a line's end), and its questions about characters beyond ASCII end
// where nothing may, at some that are no spaces: the answer is no.
#pragma GCC diagnostic push
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wterminate"  // assertions in functions that do not throw
#endif
#define TOML_ASSERT(condition) ((condition) ? static_cast<void>(0) : throw std::logic_error(#condition))
#define TOML_HEADER_ONLY 1
#define TOML_FLOAT_CHARCONV 1  // else by streams, which call memory that runs out a number that is none
#include <toml++/impl/preprocessor.h>
#if TOML_LIB_MAJOR == 3 && TOML_LIB_MINOR < 4
#include <toml++/impl/forward_declarations.h>
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE return false
#include <toml++/impl/unicode.h>
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE __builtin_unreachable()
#endif
#include <toml++/toml.h>
#pragma GCC diagnostic pop

#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

/// A number as it stands in the text, less the underscores that TOML allows.
std::string digits_at(std::string_view text, toml::source_position position) {
  for (toml::source_index line = 1; line < position.line; ++line) text.remove_prefix(text.find('\n') + 1);
  text = text.substr(0, text.find('\n'));
  const std::size_t begin = text.find('=') + 1;
  text.remove_prefix(std::min(text.find_first_not_of(" \t", begin), text.size()));
  std::string digits(text.substr(0, text.find_first_of(" \t\r#")));
  std::erase(digits, '_');
  return digits;
}

}  // namespace

std::map<std::string, std::string> parse_toml(std::string_view text, const std::string& where) {
  if (text.size() > kMaxToml) fail("{}: more than {} bytes of TOML", where, kMaxToml);
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    fail("{}:{}: {}", where, error.source().begin.line, error.description());
  } catch (const std::logic_error& error) {
    fail("{}: not TOML: expected {}", where, error.what());
  }
  std::map<std::string, std::string> entries;
  for (const auto& [key, value] : table) {
    std::string& entry = entries[std::string(key.str())];
    if (const auto* string = value.as_string()) {
      entry = string->get();
    } else if (const auto* integer = value.as_integer()) {
      entry = std::to_string(integer->get());
    } else if (value.is_floating_point()) {
      entry = digits_at(text, value.source().begin);  // 1e-400 is no 0, 2.0 no whole number, and 1e-3 stays as it is
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
