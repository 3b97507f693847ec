#include "host/files/packed.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <new>
#include <vector>

#include "host/files/file.h"
#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr std::size_t kBlock = 1 << 16;

struct Packing {
  std::string_view magic;
  int filter;
};
constexpr Packing kPackings[] = {{"\x1f\x8b", ARCHIVE_FILTER_GZIP},
                                 {"BZh", ARCHIVE_FILTER_BZIP2},
                                 {"\xFD"
                                  "7zXZ",
                                  ARCHIVE_FILTER_XZ},
                                 {"\x28\xB5\x2F\xFD", ARCHIVE_FILTER_ZSTD}};

int filter_of(std::string_view start) {
  const auto found = std::ranges::find_if(kPackings, [&](const Packing& p) { return start.starts_with(p.magic); });
  return found != std::end(kPackings) ? found->filter : ARCHIVE_FILTER_NONE;
}

/// What libarchive says, if it says something.
const char* reason(archive* source) {
  const char* const text = archive_error_string(source);
  return text != nullptr ? text : "no reason given";
}

}  // namespace

bool is_packed(std::string_view start) { return filter_of(start) != ARCHIVE_FILTER_NONE; }

void PackedReader::Free::operator()(archive* a) const { archive_read_free(a); }

PackedReader::PackedReader(std::string_view packed, const std::string& name) : packed_(packed) {
  const int filter = filter_of(packed);
  if (filter == ARCHIVE_FILTER_GZIP) {
    gzip_.emplace(packed);
    return;
  }
  others_.reset(archive_read_new());
  if (!others_) throw std::bad_alloc();
  archive* const source = others_.get();
  // One filter, and one that libarchive has in itself: others start programs, and filters of filters are a bomb.
  if (archive_read_append_filter(source, filter) != ARCHIVE_OK ||
      archive_read_support_format_raw(source) != ARCHIVE_OK) {
    if (archive_errno(source) == ENOMEM) throw std::bad_alloc();
    fail("{}: packed in a way that this libarchive cannot read: {}", name, reason(source));
  }
  archive_entry* entry = nullptr;
  int status = archive_read_open_memory(source, packed.data(), packed.size());
  if (status == ARCHIVE_OK) status = archive_read_next_header(source, &entry);
  if (status == ARCHIVE_OK || status == ARCHIVE_EOF) return;
  if (archive_errno(source) == ENOMEM) throw std::bad_alloc();
  fail("{}: damaged archive, or none: {}", name, reason(source));
}

std::ptrdiff_t PackedReader::read(std::span<char> block) noexcept {
  if (gzip_) {
    const std::ptrdiff_t count = gzip_->read(block);
    error_ = gzip_->error();
    lacks_memory_ = gzip_->lacks_memory();
    return count;
  }
  const la_ssize_t count = archive_read_data(others_.get(), block.data(), block.size());
  if (count >= 0) return count;
  error_ = reason(others_.get());
  lacks_memory_ = archive_errno(others_.get()) == ENOMEM;
  return -1;
}

bool PackedReader::took_all() const {
  if (gzip_) return true;  // it says so itself
  const auto taken = static_cast<std::size_t>(archive_filter_bytes(others_.get(), -1));
  return packed_.find_first_not_of('\0', taken) == packed_.npos;
}

std::string read_unpacked(const std::filesystem::path& path) {
  std::string file = read_file(path);
  if (!is_packed(file)) return file;
  const std::string name = path.string();
  const std::size_t most = std::min(kMaxUnpacked + kMaxUnpackedRatio * file.size(), kMaxUnpackedText);
  PackedReader packed(file, name);
  std::vector<char> block(kBlock);
  std::string text;
  for (;;) {
    const std::ptrdiff_t count = packed.read(block);
    if (count < 0 && packed.lacks_memory()) throw std::bad_alloc();
    if (count < 0) fail("{}: damaged: {}", name, packed.error());
    if (count == 0) break;
    text.append(block.data(), static_cast<std::size_t>(count));
    if (text.size() > most) fail("{}: unpacks to more than {} bytes, expected no more of such a file", name, most);
  }
  if (!packed.took_all()) fail("{}: something else after its end", name);
  return text;
}

constexpr std::size_t kPackedStart = std::size_t{1} << 20;  // bytes, more than a block of bzip2

std::string read_unpacked_start(const std::filesystem::path& path, std::size_t most) {
  std::string start = read_file(path, most);
  if (!is_packed(start)) return start;
  const std::string file = read_file(path, kPackedStart);
  start.assign(most, '\0');
  std::size_t unpacked = 0;
  try {
    PackedReader packed(file, path.string());
    for (std::ptrdiff_t count = 1; count > 0 && unpacked < most;) {
      count = packed.read(std::span(start).subspan(unpacked));
      if (packed.lacks_memory()) throw std::bad_alloc();
      unpacked += static_cast<std::size_t>(std::max<std::ptrdiff_t>(count, 0));
    }
  } catch (const Error&) {  // whoever reads it says what is wrong
  }
  start.resize(unpacked);
  return start;
}

}  // namespace reel
