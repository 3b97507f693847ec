#include "host/files/download.h"

#include <curl/curl.h>

#include <exception>
#include <memory>

#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr long kConnectSeconds = 15, kStallSeconds = 30, kStallBytesPerSecond = 1000;

struct Transfer {
  const Download& request;
  AtomicFile& file;
  Checksum checksum{Checksum::Algorithm::kMd5};
  std::int64_t received = 0;
  std::exception_ptr error;  // libcurl is C: an exception waits here until it has returned
};

std::size_t receive(char* data, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view bytes(data, size * count);
  try {
    transfer.received += static_cast<std::int64_t>(bytes.size());
    if (transfer.received > kMaxDownload) fail("{}: more than {} bytes", transfer.request.url, kMaxDownload);
    transfer.file.write(bytes);
    transfer.checksum.add(bytes);
    return bytes.size();
  } catch (...) {
    transfer.error = std::current_exception();
    return 0;
  }
}

int report(void* user, curl_off_t total, curl_off_t received, curl_off_t, curl_off_t) {
  const auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.request.progress) transfer.request.progress(received, total);
  return 0;
}

}  // namespace

void download(const Download& request, const std::filesystem::path& path) {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) fail("{}: libcurl cannot start", request.url);
  AtomicFile file(path);
  Transfer transfer{.request = request, .file = file};
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl.get(), CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);  // other threads are running
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, "https");
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, kStallBytesPerSecond);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, receive);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, report);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &transfer);
  const CURLcode code = curl_easy_perform(curl.get());
  if (transfer.error) std::rethrow_exception(transfer.error);
  if (code != CURLE_OK) fail("{}: download failed: {}", request.url, *reason ? reason : curl_easy_strerror(code));
  const std::string md5 = transfer.checksum.hex();
  if (md5 != request.md5) fail("{}: downloaded file has md5 {}, expected {}", request.url, md5, request.md5);
  file.commit();
}

}  // namespace reel
