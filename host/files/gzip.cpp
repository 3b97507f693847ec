#include "host/files/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <new>

namespace reel {
namespace {

constexpr int kGzip = 16 + MAX_WBITS;                     // as inflateInit2 wants it
constexpr std::size_t kMostGiven = std::size_t{1} << 30;  // zlib counts in 32 bits
constexpr std::string_view kMagic = "\x1f\x8b";

}  // namespace

void GzipReader::End::operator()(z_stream_s* stream) const {
  inflateEnd(stream);
  delete stream;
}

GzipReader::GzipReader(std::string_view packed) : rest_(packed), stream_(new z_stream{}) {
  if (inflateInit2(stream_.get(), kGzip) != Z_OK) throw std::bad_alloc();  // nothing else can go wrong here
}

std::ptrdiff_t GzipReader::fail(const char* why) {
  error_ = why;
  return -1;
}

bool GzipReader::next_member() {
  z_stream& z = *stream_;
  rest_ = {reinterpret_cast<const char*>(z.next_in), z.avail_in + rest_.size()};
  z.avail_in = 0;
  return rest_.starts_with(kMagic) && inflateReset(&z) == Z_OK;
}

std::ptrdiff_t GzipReader::read(std::span<char> block) noexcept {
  if (error_ != nullptr) return -1;  // whoever asks again after a failure has not seen the end
  z_stream& z = *stream_;
  z.next_out = reinterpret_cast<Bytef*>(block.data());
  z.avail_out = static_cast<uInt>(block.size());
  while (z.avail_out > 0 && !ended_) {
    if (z.avail_in == 0) {
      const std::size_t given = std::min(rest_.size(), kMostGiven);
      if (given == 0) return fail("ends early");
      z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(rest_.data()));  // it only reads
      z.avail_in = static_cast<uInt>(given);
      rest_.remove_prefix(given);
    }
    const int status = inflate(&z, Z_NO_FLUSH);
    lacks_memory_ = status == Z_MEM_ERROR;
    if (lacks_memory_) return fail("out of memory");
    if (status != Z_OK && status != Z_STREAM_END) return fail(z.msg != nullptr ? z.msg : "not gzip");
    if (status == Z_STREAM_END && !next_member()) {
      ended_ = true;
      if (rest_.find_first_not_of('\0') != std::string_view::npos) return fail("something else after its end");
    }
  }
  return static_cast<std::ptrdiff_t>(block.size() - z.avail_out);
}

}  // namespace reel
