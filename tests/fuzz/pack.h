// Archives whose checksums are right, so that what is in them is read.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel::fuzz {

enum class Format { kTar, kZip };  // neither compressed

inline std::string pack(Format format, const std::vector<std::pair<std::string, std::string_view>>& files) {
  std::size_t room = 1 << 14, used = 0;
  for (const auto& [name, content] : files) room += 2 * name.size() + content.size() + (1 << 12);
  std::string bytes(room, '\0');
  archive* const writer = archive_write_new();
  if (format == Format::kTar) archive_write_set_format_gnutar(writer);
  if (format == Format::kZip) {
    archive_write_set_format_zip(writer);
    archive_write_zip_set_compression_store(writer);
  }
  if (archive_write_open_memory(writer, bytes.data(), bytes.size(), &used) != ARCHIVE_OK) std::abort();
  for (const auto& [name, content] : files) {
    archive_entry* const entry = archive_entry_new();
    archive_entry_copy_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    if (archive_write_header(writer, entry) == ARCHIVE_OK) archive_write_data(writer, content.data(), content.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  bytes.resize(used);
  return bytes;
}

}  // namespace reel::fuzz
