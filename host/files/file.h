// Files and folders: reading with clear errors, and writing that never leaves half a file behind.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

inline constexpr std::size_t kWhole = std::numeric_limits<std::size_t>::max();
inline constexpr std::size_t kSignatureBytes = 512;  // bytes that are enough to tell what kind of file it is

/// Whether there is something of this name. Throws Error with path and reason where that cannot be seen.
bool is_there(const std::filesystem::path& path);

/// The file, or its first `most` bytes; it must be a regular one: a device or a pipe may have no end. Throws Error with
/// path and reason.
std::string read_file(const std::filesystem::path& path, std::size_t most = kWhole);
/// The same of anything that can be read, for what the user named: a pipe too.
std::string read_all(const std::filesystem::path& path, std::size_t most = kWhole);

/// Hands a regular file over in blocks, which are valid only within the call. Throws Error with path and reason.
void read_blocks(const std::filesystem::path& path, const std::function<void(std::string_view)>& visit);

/// The names of what is in a folder, in no order. Throws Error with path and reason. (std::filesystem's iterator ends
/// the program where memory runs out.)
std::vector<std::string> names_in(const std::filesystem::path& folder);

/// Makes a folder and those around it that are missing, so that they survive a power cut. Throws Error with path and
/// reason.
void create_folders(const std::filesystem::path& path);

/// Writes a file beside its place, syncs it, then renames it: readers see the old or the new file, nothing between.
/// commit() must be called; a writer destroyed before that removes its temporary file. Every failed write (a full disk)
/// throws Error with path and reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view text);
  void write(std::span<const std::byte> bytes);
  /// Everything but the renaming: what can still fail on a full disk. So that of several files all are replaced or
  /// none.
  void sync();
  void commit();

  /// Removes the temporary files of writers of `path` whose processes were killed. Nobody may be writing it.
  static void remove_abandoned(const std::filesystem::path& path) noexcept;
  /// Removes the temporary files of all writers; nobody may write or commit any more. For a process that ends at once.
  static void abandon_all() noexcept;

 private:
  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
  bool synced_ = false;
};

/// Keeps other processes out, by a lock (flock) on a file that it makes, which is no link. Ends with its owner, also
/// where that is killed. On a file system without locks (some NFS and Lustre mounts) it keeps nobody out.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path);
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;

  /// False: another process holds it.
  bool held() const { return held_; }
  /// False: the file system has no locks.
  bool works() const { return works_; }

 private:
  int descriptor_ = -1;
  bool held_ = false, works_ = true;
};

/// Adds to the end of a file, or makes it. Throws Error with path and reason; part of the text may be there then.
void append_to_file(const std::filesystem::path& path, std::string_view text);

/// Makes what a file holds survive a power cut. Throws Error with path and reason.
void sync_file(const std::filesystem::path& path);

/// The same for the names in a folder. Some file systems cannot sync a folder; that is not an error.
void sync_folder(const std::filesystem::path& folder) noexcept;

/// AtomicFile for a whole text at once.
void write_file(const std::filesystem::path& path, std::string_view text);

}  // namespace reel
