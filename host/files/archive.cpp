#include "host/files/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "host/files/file.h"
#include "host/files/limits.h"
#include "host/files/packed.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr std::size_t kBlock = 1 << 16, kTarBlock = 512;

struct Free {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Archive = std::unique_ptr<archive, Free>;

Archive new_archive() {
  Archive made(archive_read_new());
  if (!made) throw std::bad_alloc();
  return made;
}

/// What libarchive says, if it says something. Throws std::bad_alloc where that is a lack of memory.
const char* reason(archive* source) {
  if (archive_errno(source) == ENOMEM) throw std::bad_alloc();
  const char* const text = archive_error_string(source);
  return text != nullptr ? text : "no reason given";
}

void support(int (*format)(archive*), archive* source, const std::string& name) {
  if (format(source) != ARCHIVE_OK) fail("{}: of a format that this libarchive cannot read: {}", name, reason(source));
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

/// The bytes of a tar archive, unpacked block by block as libarchive asks for them: so what it takes before one file,
/// all of which it keeps, has an end. (Of a sparse file's map it keeps ten times its text.)
class TarBytes {
 public:
  /// `file`, packed or not, must outlive this.
  TarBytes(std::string_view file, const std::string& name) : file_(file) {
    if (is_packed(file)) packed_.emplace(file, name);
  }

  /// An archive_read_callback, whose `self` is a TarBytes.
  static la_ssize_t read(archive* tar, void* self, const void** block) noexcept {
    return static_cast<TarBytes*>(self)->next(*tar, *block);
  }

  /// From here on there are no more than so many.
  void limit(std::size_t bytes) { left_ = bytes; }
  bool were_too_many() const { return were_too_many_; }
  bool took_all() const { return !packed_ || packed_->took_all(); }  // see PackedReader
  /// How many there were so far, and how many zeros they end in.
  std::size_t given() const { return given_; }
  std::size_t zeros() const { return zeros_; }

 private:
  /// Nothing here may throw: libarchive calls it.
  la_ssize_t next(archive& tar, const void*& block) {
    if (left_ == 0) {
      were_too_many_ = true;
      return ARCHIVE_FATAL;
    }
    la_ssize_t count = 0;
    if (packed_) {
      block = block_.data();
      count = packed_->read(block_);
      if (count < 0) {
        archive_set_error(&tar, packed_->lacks_memory() ? ENOMEM : EINVAL, "%s", packed_->error());
        return ARCHIVE_FATAL;
      }
    } else {
      block = file_.data();
      count = static_cast<la_ssize_t>(std::min(file_.size(), kBlock));
      file_.remove_prefix(static_cast<std::size_t>(count));
    }
    left_ -= std::min(left_, static_cast<std::size_t>(count));
    const std::string_view bytes(static_cast<const char*>(block), static_cast<std::size_t>(count));
    const std::size_t last = bytes.find_last_not_of('\0');
    zeros_ = last == bytes.npos ? zeros_ + bytes.size() : bytes.size() - 1 - last;
    given_ += bytes.size();
    return count;
  }

  std::string_view file_;  // if it is not packed: what has not been given
  std::optional<PackedReader> packed_;
  std::vector<char> block_ = std::vector<char>(kBlock);
  std::size_t left_ = SIZE_MAX;
  std::size_t given_ = 0, zeros_ = 0;
  bool were_too_many_ = false;
};

/// What stands behind a tar archive's last file, of which libarchive has taken a part: a block of zeros, or more of
/// them, and nothing else. What it was packed with is checked there.
void read_to_end(TarBytes& tar, archive* source, const std::string& name, std::size_t most) {
  const auto taken = static_cast<std::size_t>(archive_filter_bytes(source, 0));
  tar.limit(most);
  la_ssize_t count = 0;
  do {
    const void* block = nullptr;
    count = TarBytes::read(source, &tar, &block);
  } while (count > 0);
  if (tar.were_too_many()) fail_size(name, most);
  if (count < 0) fail("{}: damaged archive: {}", name, reason(source));
  const std::size_t rest = tar.given() - std::min(taken, tar.given());
  if (tar.zeros() < rest || !tar.took_all()) fail("{}: something else after its end", name);
  if (tar.zeros() < rest + kTarBlock) fail("{}: cut off: no end of a tar archive", name);
}

/// A zip archive ends in its directory's end record and a comment, whose length stands last in the record. (libarchive
/// looks for the last such record too, and less than 16 KB from the end.)
void check_zip_end(std::string_view file, const std::string& name) {
  constexpr std::size_t kRecord = 22, kFarthest = 1 << 14;
  const std::size_t at = file.rfind("PK\x05\x06");
  if (at == file.npos || file.size() - at < kRecord) fail("{}: cut off: no end of a zip archive", name);
  const auto byte = [&](std::size_t i) { return std::size_t{static_cast<unsigned char>(file[at + i])}; };
  if (at + kRecord + byte(20) + 256 * byte(21) != file.size()) {
    fail("{}: cut off, something else after its end, or a comment that holds an end", name);
  }
  if (file.size() - at >= kFarthest) fail("{}: expected a comment of less than {} bytes", name, kFarthest - kRecord);
}

}  // namespace

bool may_be_tar(std::string_view start) {
  constexpr std::size_t kSum = 148, kSumSize = 8;  // where the sum of the first header's bytes stands, in octal
  if (start.size() < kTarBlock) return false;
  std::size_t sum = 0, stands = 0;
  for (std::size_t i = 0; i < kTarBlock; ++i) {
    const bool of_sum = i >= kSum && i < kSum + kSumSize;
    sum += static_cast<unsigned char>(of_sum ? ' ' : start[i]);
    if (of_sum && start[i] >= '0' && start[i] <= '7') stands = 8 * stands + static_cast<std::size_t>(start[i] - '0');
  }
  return sum == stands;
}

bool is_zip(std::string_view start) { return start.starts_with("PK\x03\x04") || start.starts_with("PK\x05\x06"); }

void read_archive(const std::filesystem::path& path, const std::function<bool(const std::string&)>& wanted,
                  const std::function<void(const std::string&, std::string)>& visit) {
  const std::string file = read_file(path), name = path.string();
  const Archive source = new_archive();
  std::optional<TarBytes> tar;
  int opened = ARCHIVE_FATAL;
  if (is_zip(file)) {
    check_zip_end(file, name);
    support(archive_read_support_format_zip_seekable, source.get(), name);
    opened = archive_read_open_memory(source.get(), file.data(), file.size());
  } else {
    support(archive_read_support_format_tar, source.get(), name);
    tar.emplace(file, name);
    opened = archive_read_open(source.get(), &*tar, nullptr, &TarBytes::read, nullptr);
  }
  if (opened != ARCHIVE_OK) fail("{}: damaged archive, or none: {}", name, reason(source.get()));
  std::vector<char> block(kBlock);
  const std::size_t most = kMaxUnpacked + kMaxUnpackedRatio * file.size();
  std::size_t room = most;
  for (;;) {
    archive_entry* entry = nullptr;
    if (tar) tar->limit(kMaxArchiveHeader);
    const int status = archive_read_next_header(source.get(), &entry);
    if (status == ARCHIVE_EOF) {
      if (tar) read_to_end(*tar, source.get(), name, most);
      break;
    }
    if (tar && tar->were_too_many()) fail("{}: more than {} bytes before a file", name, kMaxArchiveHeader);
    if (tar) tar->limit(SIZE_MAX);
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
