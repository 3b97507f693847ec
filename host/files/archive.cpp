#include "host/files/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <memory>
#include <span>
#include <vector>

#include "host/files/file.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr std::size_t kBlock = 1 << 16;
constexpr std::size_t kMaxEntry = std::size_t{4} << 30;  // a small archive cannot fill the memory

struct Free {
  void operator()(archive* a) const { archive_read_free(a); }
};

std::string read_entry(archive* source, std::span<char> block, const std::string& where) {
  std::string contents;
  for (;;) {
    const la_ssize_t count = archive_read_data(source, block.data(), block.size());
    if (count < 0) fail("{}: damaged archive: {}", where, archive_error_string(source));
    if (count == 0) return contents;
    contents.append(block.data(), static_cast<std::size_t>(count));
    if (contents.size() > kMaxEntry) fail("{}: unpacks to more than {} bytes", where, kMaxEntry);
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
    fail("{}: damaged archive, or none: {}", name, archive_error_string(source.get()));
  }
  std::vector<char> block(kBlock);
  for (;;) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(source.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
      fail("{}: damaged archive: {}", name, archive_error_string(source.get()));
    }
    const char* entry_name = archive_entry_pathname(entry);
    if (entry_name == nullptr || archive_entry_filetype(entry) != AE_IFREG || !wanted(entry_name)) continue;
    visit(entry_name, read_entry(source.get(), block, name + ": " + entry_name));
  }
}

}  // namespace reel
