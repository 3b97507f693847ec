// Errors. Everything that goes wrong is thrown; only main turns an exception into a line and an exit code.
#pragma once

#include <cstddef>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace reel {

/// Text of a stranger as a terminal can show it: control characters (ASCII's and, in UTF-8, U+0080 to U+009F), which
/// could part a line or drive the terminal, become question marks, and so do bytes of U+0080 to U+009F that are no
/// UTF-8; what is beyond `most` bytes becomes "...".
inline std::string printable(std::string text, std::size_t most = 1000) {
  if (text.size() > most) text = text.substr(0, most) + "...";
  int left = 0;  // bytes of a character that are still to come
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (byte == 0xC2 && next >= 0x80 && next < 0xA0) text[i] = text[i + 1] = '?';
    if (byte < ' ' || byte == 0x7F || (byte >= 0x80 && byte < 0xA0 && left == 0)) text[i] = '?';
    left = byte >= 0xF0                              ? 3
           : byte >= 0xE0                            ? 2
           : byte >= 0xC2                            ? 1
           : left > 0 && byte >= 0x80 && byte < 0xC0 ? left - 1
                                                     : 0;
  }
  return text;
}

/// Bad input or a failed resource. The message is one line: where, what was found, what was expected.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string message) : std::runtime_error(printable(std::move(message))) {}
};

/// What long work throws, having changed nothing that it was given to keep, when somebody has asked for its end.
class Interrupted : public std::exception {
 public:
  const char* what() const noexcept override { return "interrupted"; }
};

/// A broken contract between two parts of the program: a bug, not bad input.
class ContractError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace reel
