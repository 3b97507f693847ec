#include "host/files/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <new>
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

/// What libarchive says, if it says something. Throws std::bad_alloc where that is a lack of memory.
const char* reason(archive* source) {
  if (archive_errno(source) == ENOMEM) throw std::bad_alloc();
  const char* const text = archive_error_string(source);
  return text != nullptr ? text : "no reason given";
}

[[noreturn]] void fail_size(const std::string& where, std::size_t most) {
  fail("{}: unpacks to more than {} bytes, expected no more of such an archive", where, most);
}

/// How many bytes an entry has, which may be at most `room`; they are appended to `contents`, if that is not null.
std::size_t read_entry(archive* source, std::span<char> block, std::size_t room, const std::string& where,
                       std::string* contents) {
  std::size_t size = 0;
  for (;;) {
    const la_ssize_t count = archive_read_data(source, block.data(), block.size());
    if (count < 0) fail("{}: damaged archive: {}", where, reason(source));
    if (count == 0) return size;
    size += static_cast<std::size_t>(count);
    if (size > room) fail_size(where, room);
    if (contents != nullptr) contents->append(block.data(), static_cast<std::size_t>(count));
  }
}

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

}  // namespace

bool is_packed(std::string_view start) { return filter_of(start) != ARCHIVE_FILTER_NONE; }

void read_archive(const std::filesystem::path& path, const std::function<bool(const std::string&)>& wanted,
                  const std::function<void(const std::string&, std::string)>& visit) {
  const std::string file = read_file(path), name = path.string();
  const std::unique_ptr<archive, Free> source(archive_read_new());
  if (!source) throw std::bad_alloc();
  // One filter, and one that libarchive has in itself: others start programs, and filters of filters are a bomb.
  const int filter = filter_of(file);
  if (filter != ARCHIVE_FILTER_NONE && archive_read_append_filter(source.get(), filter) != ARCHIVE_OK) {
    fail("{}: packed in a way that this libarchive cannot read: {}", name, reason(source.get()));
  }
  archive_read_support_format_tar(source.get());
  archive_read_support_format_zip(source.get());
  if (archive_read_open_memory(source.get(), file.data(), file.size()) != ARCHIVE_OK) {
    fail("{}: damaged archive, or none: {}", name, reason(source.get()));
  }
  std::vector<char> block(kBlock);
  const std::size_t most = kMaxUnpacked + kMaxUnpackedRatio * file.size();
  std::size_t room = most;
  for (;;) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(source.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    // Of a tar archive the names too: those of 1 MB, or many.
    if (archive_filter_bytes(source.get(), 0) > static_cast<la_int64_t>(most)) fail_size(name, most);
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
      fail("{}: damaged archive: {}", name, reason(source.get()));
    }
    const char* entry_name = archive_entry_pathname_utf8(entry);
    if (entry_name == nullptr) entry_name = archive_entry_pathname(entry);
    if (entry_name == nullptr) fail("{}: an entry without a name, or one that is no text", name);
    const std::string where = name + ": " + entry_name;
    // A link to a folder would hide what is in it.
    if (archive_entry_symlink(entry) != nullptr || archive_entry_hardlink(entry) != nullptr) {
      fail("{}: a link, expected files and folders alone", where);
    }
    if (archive_entry_filetype(entry) == AE_IFDIR) continue;
    if (!wanted(entry_name)) {  // what is skipped is unpacked all the same
      room -= read_entry(source.get(), block, room, where, nullptr);
      continue;
    }
    if (archive_entry_filetype(entry) != AE_IFREG) fail("{}: expected a file", where);
    std::string contents;
    room -= read_entry(source.get(), block, std::min(room, kMaxArchiveEntry), where, &contents);
    const bool whole =
        !archive_entry_size_is_set(entry) || archive_entry_size(entry) == static_cast<la_int64_t>(contents.size());
    if (!whole) fail("{}: {} of {} bytes: a sparse file?", where, contents.size(), archive_entry_size(entry));
    visit(entry_name, std::move(contents));
  }
}

}  // namespace reel
