// What the fuzz targets share: bytes as a file, and the rule that all of them demand.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "kernels/error.h"

namespace reel::fuzz {

/// A file in memory.
class File {
 public:
  explicit File(std::string_view bytes) : descriptor_(::memfd_create("fuzz", 0)) {
    if (::write(descriptor_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
  }
  ~File() { ::close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

/// Anything may be refused, in one line; nothing else may happen.
template <class Read>
int expect_error_or_success(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace reel::fuzz

/// Defines the target: `text` are the bytes.
#define REEL_FUZZ(...)                                                                \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { \
    const std::string_view text = reel::fuzz::text_of(data, size);                    \
    return reel::fuzz::expect_error_or_success([&] { __VA_ARGS__ });                  \
  }
