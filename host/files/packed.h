// Files packed by gzip, bzip2, xz or Zstandard, unpacked in blocks.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "host/files/gzip.h"

struct archive;

namespace reel {

/// Whether a file that begins so is packed in a way that PackedReader unpacks.
bool is_packed(std::string_view start);

class PackedReader {
 public:
  /// `packed`, which is_packed(), must outlive this. Throws Error, which begins with `name`, where it is damaged from
  /// the beginning.
  PackedReader(std::string_view packed, const std::string& name);

  /// Fills `block`, or its beginning where the data ends: how many bytes, or -1, and what is wrong is error().
  std::ptrdiff_t read(std::span<char> block) noexcept;
  const char* error() const { return error_; }
  bool lacks_memory() const { return lacks_memory_; }
  /// Said at the end: whether nothing but zeros stands behind the packed data. (libarchive's bzip2 stops at whatever is
  /// no bzip2.)
  bool took_all() const;

 private:
  struct Free {
    void operator()(archive* a) const;
  };
  std::string_view packed_;
  std::optional<GzipReader> gzip_;  // or else:
  std::unique_ptr<archive, Free> others_;
  bool lacks_memory_ = false;
  const char* error_ = nullptr;
};

/// The file, unpacked where it is packed. Throws Error where it is damaged, ends early, or unpacks to more than
/// limits.h allows.
std::string read_unpacked(const std::filesystem::path& path);

/// Its first `most` bytes, unpacked; of a damaged file as many as can be.
std::string read_unpacked_start(const std::filesystem::path& path, std::size_t most);

}  // namespace reel
