#include "kernels/contract/checks.h"

#include "kernels/check.h"

namespace reel {

void check_count(std::int64_t count, std::int64_t expected, const char* name) {
  REEL_CHECK(count == expected, "{} has {} elements, not {}", name, count, expected);
}

void check_positive(std::int64_t number, const char* name) { REEL_CHECK(number > 0, "{} is {}", name, number); }

void check_not_negative(double number, const char* name) { REEL_CHECK(number >= 0, "{} is {}", name, number); }

void check_share(double number, const char* name) { REEL_CHECK(number >= 0 && number <= 1, "{} is {}", name, number); }

}  // namespace reel
