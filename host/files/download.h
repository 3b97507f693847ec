// Downloads over HTTPS, by libcurl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace reel {

struct Download {
  std::string url;
  std::string md5;  // expected checksum
  /// Called now and then with bytes received and bytes in all (0: unknown).
  std::function<void(std::int64_t received, std::int64_t total)> progress;
};

/// Fetches into `path`, which appears only when complete and its checksum is right. Throws Error: no network, an HTTP
/// status other than 200, another checksum.
void download(const Download& request, const std::filesystem::path& path);

}  // namespace reel
