// What checks of arguments have in common. Each operation has its own, check_arguments(op), beside its declaration;
// Backend::run makes them. They throw ContractError, which names the argument.
#pragma once

#include <cstdint>
#include <span>

namespace reel {

void check_count(std::int64_t count, std::int64_t expected, const char* name);
void check_number(std::int64_t number, std::int64_t expected, const char* name);
void check_same(std::int64_t number, std::int64_t other, const char* name, const char* other_name);
void check_same_address(const void* argument, const void* other, const char* name, const char* other_name);
void check_positive(std::int64_t number, const char* name);
void check_not_negative(double number, const char* name);
void check_share(double number, const char* name);        // 0 to 1
void check_int32(std::int64_t number, const char* name);  // fits

template <class T>
void check_size(std::span<T> tensor, std::int64_t expected, const char* name) {
  check_count(static_cast<std::int64_t>(tensor.size()), expected, name);
}

/// Unless it is left out.
template <class T>
void check_optional(std::span<T> tensor, std::int64_t expected, const char* name) {
  if (!tensor.empty()) check_size(tensor, expected, name);
}

}  // namespace reel
