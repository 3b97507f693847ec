// What depends on where this checkout lies, so that the tests' other sources compile alike anywhere.
#include "tests/support/support.h"

namespace reel {

std::string moved(const char* variable, const char* built) {
  const char* const path = std::getenv(variable);
  return path != nullptr ? path : built;
}

std::filesystem::path test_files() { return moved("REEL_TEST_FILES", REEL_TEST_FILES); }

std::filesystem::path fixture(const std::string& name) { return test_files() / "fixtures" / name; }

}  // namespace reel
