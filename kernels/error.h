// Errors. Everything that goes wrong is thrown; only main turns an exception into a line and an exit code.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace reel {

/// Bad input or a failed resource. The message is one line: where, what was found, what was expected. What was found
/// may come from a stranger: its control characters, which could part the line or drive a terminal, become question
/// marks.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string message) : std::runtime_error(printable(std::move(message))) {}

 private:
  static std::string printable(std::string message) {
    for (char& c : message) {
      if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
    }
    return message;
  }
};

/// A broken contract between two parts of the program: a bug, not bad input.
class ContractError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace reel
