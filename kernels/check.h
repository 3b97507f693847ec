// Errors. Everything that goes wrong is thrown; only main turns an exception into a line and an exit code.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

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

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace reel

/// Throws ContractError with file and line unless `condition` holds. Stays on in release builds.
#define REEL_CHECK(condition, ...)                                                                          \
  do {                                                                                                      \
    if (!(condition)) [[unlikely]]                                                                          \
      throw ::reel::ContractError(                                                                          \
          fmt::format("{}:{}: {}: expected {}", __FILE__, __LINE__, fmt::format(__VA_ARGS__), #condition)); \
  } while (false)
