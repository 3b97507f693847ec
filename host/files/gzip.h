// gzip, unpacked in blocks; unlike libarchive's filter it checks what was packed against its checksum and length.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

struct z_stream_s;

namespace reel {

class GzipReader {
 public:
  /// `packed` must outlive this. Throws std::bad_alloc.
  explicit GzipReader(std::string_view packed);

  /// Fills `block`, or its beginning where the data ends: how many bytes, or -1, and what is wrong is error().
  std::ptrdiff_t read(std::span<char> block) noexcept;
  const char* error() const { return error_; }
  bool lacks_memory() const { return lacks_memory_; }

 private:
  struct End {
    void operator()(z_stream_s* stream) const;
  };
  std::ptrdiff_t fail(const char* why);
  /// Whether another member begins: gzip files may be strung together.
  bool next_member();

  std::string_view rest_;  // what the stream has not been given
  std::unique_ptr<z_stream_s, End> stream_;
  bool ended_ = false, lacks_memory_ = false;
  const char* error_ = nullptr;
};

}  // namespace reel
