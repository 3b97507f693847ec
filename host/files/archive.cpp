#include "host/files/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "host/files/file.h"
#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr std::size_t kBlock = 1 << 16;

struct Free {
  void operator()(archive* a) const { archive_read_free(a); }
};

/// What libarchive says, if it says something.
const char* reason(archive* source) {
  const char* const text = archive_error_string(source);
  return text != nullptr ? text : "no reason given";
}

/// `room`: how many bytes it may have.
std::string read_entry(archive* source, std::span<char> block, std::size_t room, const std::string& where) {
  std::string contents;
  for (;;) {
    const la_ssize_t count = archive_read_data(source, block.data(), block.size());
    if (count < 0) fail("{}: damaged archive: {}", where, reason(source));
    if (count == 0) return contents;
    if (contents.size() + static_cast<std::size_t>(count) > room) {
      fail("{}: unpacks to more than {} bytes, expected no more of such an archive", where, room);
    }
    contents.append(block.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace

void read_archive(const std::filesystem::path& path, const std::function<bool(const std::string&)>& wanted,
                  const std::function<void(const std::string&, std::string)>& visit) {
  const MappedFile file(path);
  const std::unique_ptr<archive, Free> source(archive_read_new());
  archive_read_support_filter_all(source.get());
  archive_read_support_format_tar(source.get());
  archive_read_support_format_zip(source.get());
  const std::string name = path.string();
  if (archive_read_open_memory(source.get(), file.bytes().data(), file.bytes().size()) != ARCHIVE_OK) {
    fail("{}: damaged archive, or none: {}", name, reason(source.get()));
  }
  std::vector<char> block(kBlock);
  std::size_t room = kMaxUnpacked + kMaxUnpackedRatio * file.bytes().size();
  for (;;) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(source.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
      fail("{}: damaged archive: {}", name, reason(source.get()));
    }
    const char* entry_name = archive_entry_pathname(entry);
    if (entry_name == nullptr || archive_entry_filetype(entry) == AE_IFDIR || !wanted(entry_name)) continue;
    const std::string where = name + ": " + entry_name;
    if (archive_entry_hardlink(entry) != nullptr || archive_entry_filetype(entry) != AE_IFREG) {
      fail("{}: a link or the like, expected a file", where);
    }
    std::string contents = read_entry(source.get(), block, std::min(room, kMaxArchiveEntry), where);
    const bool whole =
        !archive_entry_size_is_set(entry) || archive_entry_size(entry) == static_cast<la_int64_t>(contents.size());
    if (!whole) fail("{}: {} of {} bytes: a sparse file?", where, contents.size(), archive_entry_size(entry));
    room -= contents.size();
    visit(entry_name, std::move(contents));
  }
}

}  // namespace reel
