#include "host/files/checksum.h"

#include <openssl/evp.h>
#include <zlib.h>

#include <new>

#include "host/files/file.h"
#include "kernels/check.h"

namespace reel {

namespace {

/// All that OpenSSL needs for an algorithm that it has is memory.
void check(int result) {
  if (result != 1) throw std::bad_alloc();
}

const EVP_MD* digest(Checksum::Algorithm algorithm) {
  static const EVP_MD* const kSha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  static const EVP_MD* const kMd5 = EVP_MD_fetch(nullptr, "MD5", nullptr);
  return algorithm == Checksum::Algorithm::kSha256 ? kSha256 : kMd5;
}

std::string file_checksum(const std::filesystem::path& path, Checksum::Algorithm algorithm) {
  Checksum checksum(algorithm);
  read_blocks(path, [&](std::string_view block) { checksum.add(block); });
  return checksum.hex();
}

}  // namespace

void Checksum::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Checksum::Checksum(Algorithm algorithm) : context_(EVP_MD_CTX_new()) {
  if (!context_) throw std::bad_alloc();
  const EVP_MD* const type = digest(algorithm);
  if (type == nullptr) fail("OpenSSL lacks {}", algorithm == Algorithm::kSha256 ? "SHA-256" : "MD5");
  check(EVP_DigestInit_ex(context_.get(), type, nullptr));
}

void Checksum::add(std::string_view bytes) { check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size())); }

std::string Checksum::hex() {
  unsigned char value[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  check(EVP_DigestFinal_ex(context_.get(), value, &size));
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", value[i]);
  return text;
}

void Checksum::start() { digest(Algorithm::kSha256); }

std::string text_crc32(std::string_view text) {
  return fmt::format("crc32:{:08x}", crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

std::string text_sha256(std::string_view text) {
  Checksum checksum;
  checksum.add(text);
  return "sha256:" + checksum.hex();
}

std::string file_sha256(const std::filesystem::path& path) {
  return "sha256:" + file_checksum(path, Checksum::Algorithm::kSha256);
}

std::string file_md5(const std::filesystem::path& path) { return file_checksum(path, Checksum::Algorithm::kMd5); }

}  // namespace reel
