// Errors. Everything that goes wrong is thrown; only main turns an exception into a line and an exit code.
#pragma once

#include <stdexcept>

namespace reel {

/// Bad input or a failed resource. The message is one line: where, what was found, what was expected.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A broken contract between two parts of the program: a bug, not bad input.
class ContractError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace reel
