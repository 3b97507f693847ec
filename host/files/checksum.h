// Checksums of what was read, by OpenSSL and zlib.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace reel {

/// Accumulates a message digest.
class Checksum {
 public:
  enum class Algorithm { kSha256, kMd5 };
  explicit Checksum(Algorithm algorithm = Algorithm::kSha256);
  /// Starts OpenSSL, which crashes where it lacks the memory for that: before there is much in it.
  static void start();

  void add(std::string_view bytes);
  /// Lower-case hexadecimal; the object cannot be added to afterwards.
  std::string hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

/// "sha256:..." of a text, and of a file.
std::string text_sha256(std::string_view text);
std::string file_sha256(const std::filesystem::path& path);
/// "crc32:...": against accidents, not intent. It allocates nothing.
std::string text_crc32(std::string_view text);
/// The hexadecimal digits alone.
std::string file_md5(const std::filesystem::path& path);

}  // namespace reel
