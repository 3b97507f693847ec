// Throwing errors and checking contracts.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "kernels/error.h"

namespace reel {

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
