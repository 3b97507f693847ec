#include "kernels/contract/checks.h"

#include <utility>

#include "kernels/check.h"

namespace reel {

void check_count(std::int64_t count, std::int64_t expected, const char* name) {
  REEL_CHECK(count == expected, "{} has {} elements, not {}", name, count, expected);
}

void check_number(std::int64_t number, std::int64_t expected, const char* name) {
  REEL_CHECK(number == expected, "{} is {}, not {}", name, number, expected);
}

void check_same(std::int64_t number, std::int64_t other, const char* name, const char* other_name) {
  REEL_CHECK(number == other, "{} is {}, {} is {}", name, number, other_name, other);
}

void check_same_address(const void* argument, const void* other, const char* name, const char* other_name) {
  REEL_CHECK(argument == other, "{} and {} are two arrays, not one", name, other_name);
}

void check_positive(std::int64_t number, const char* name) { REEL_CHECK(number > 0, "{} is {}", name, number); }

void check_not_negative(double number, const char* name) { REEL_CHECK(number >= 0, "{} is {}", name, number); }

void check_share(double number, const char* name) { REEL_CHECK(number >= 0 && number <= 1, "{} is {}", name, number); }

void check_int32(std::int64_t number, const char* name) {
  REEL_CHECK(std::in_range<std::int32_t>(number), "{} is {}", name, number);
}

}  // namespace reel
