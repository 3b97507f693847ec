// Bytes packed as a file would be. Needs libarchive.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace reel {

/// `filter` is ARCHIVE_FILTER_GZIP or the like; of NONE the bytes as they are.
inline std::string packed(std::string_view bytes, int filter) {
  std::string made(2 * bytes.size() + (1 << 12), '\0');
  std::size_t used = 0;
  archive* const writer = archive_write_new();
  bool good = archive_write_set_format_raw(writer) == ARCHIVE_OK &&
              (filter == ARCHIVE_FILTER_NONE || archive_write_add_filter(writer, filter) == ARCHIVE_OK) &&
              archive_write_set_bytes_in_last_block(writer, 1) == ARCHIVE_OK &&
              archive_write_open_memory(writer, made.data(), made.size(), &used) == ARCHIVE_OK;
  archive_entry* const entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  good = good && archive_write_header(writer, entry) == ARCHIVE_OK &&
         archive_write_data(writer, bytes.data(), bytes.size()) == static_cast<la_ssize_t>(bytes.size()) &&
         archive_write_close(writer) == ARCHIVE_OK;
  archive_entry_free(entry);
  archive_write_free(writer);
  if (!good) throw std::runtime_error("cannot be packed");
  made.resize(used);
  return made;
}

}  // namespace reel
