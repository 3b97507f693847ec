// What tests of the host share: temporary folders, expected errors, the real data.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "kernels/check.h"

namespace reel {

/// A fresh folder that goes away with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "reel-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

  /// Writes a file in the folder (and the folders above it).
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline std::string contents(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

/// The path that an environment variable names, for programs that were carried elsewhere, or else `built`.
std::string moved(const char* variable, const char* built);

/// The folder tests/.
std::filesystem::path test_files();

std::filesystem::path fixture(const std::string& name);

/// Whether the tests shall take their time (`./run test --deep`): more seeds, more moments.
inline bool deep() { return std::getenv("REEL_TEST_DEEP") != nullptr; }

/// What a test that samples begins with: REEL_TEST_SEED, or 1.
inline std::uint64_t test_seed() {
  const char* const seed = std::getenv("REEL_TEST_SEED");
  return seed != nullptr ? std::strtoull(seed, nullptr, 10) : 1;
}

/// Expects `action` to throw Error with one line that contains each of `parts`.
template <class Action>
void expect_error(Action action, std::initializer_list<std::string> parts) {
  try {
    action();
    ADD_FAILURE() << "no error, expected one with '" << *parts.begin() << "'";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    for (const std::string& part : parts) EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

}  // namespace reel

/// Skips a test, by name, where the real data is not at hand; else declares `data` as its folder.
#define REEL_REQUIRE_DATA(data)                                                           \
  const char* reel_data_ = std::getenv("REEL_DATA");                                      \
  if (reel_data_ == nullptr) GTEST_SKIP() << "REEL_DATA is not set: needs the IMDB data"; \
  const std::filesystem::path data(reel_data_)
