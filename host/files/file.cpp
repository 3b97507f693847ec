#include "host/files/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <mutex>
#include <random>
#include <set>
#include <utility>

#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

/// An open file descriptor with its owner.
class Descriptor {
 public:
  explicit Descriptor(const fs::path& path, int how = O_RDONLY, const char* what = "read")
      : value_(::open(path.c_str(), how | O_CLOEXEC, 0666)) {
    if (value_ < 0) fail("{}: cannot be {}: {}", path.string(), what, std::strerror(errno));
    struct stat status {};
    if (::fstat(value_, &status) == 0 && S_ISDIR(status.st_mode)) {
      ::close(value_);
      fail("{}: is a folder, expected a file", path.string());
    }
    size_ = static_cast<std::size_t>(status.st_size);
  }
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int value() const { return value_; }
  std::size_t size() const { return size_; }

 private:
  int value_;
  std::size_t size_ = 0;
};

/// Appends what follows in the file, at most `most` bytes.
void read_on(const Descriptor& file, const fs::path& path, std::string& text, std::size_t most) {
  char block[1 << 16];
  while (most > 0) {
    const ssize_t count = ::read(file.value(), block, std::min(most, sizeof block));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("{}: cannot be read: {}", path.string(), std::strerror(errno));
    if (count == 0) return;
    text.append(block, static_cast<std::size_t>(count));
    most -= static_cast<std::size_t>(count);
  }
}

void write_all(int descriptor, const fs::path& path, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("{}: cannot be written: {}", path.string(), std::strerror(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

/// The temporary files of this process.
class Temporaries {
 public:
  static Temporaries& of_process() {
    static Temporaries& all = *new Temporaries;  // outlives every thread
    return all;
  }
  void add(const fs::path& path) {
    const std::lock_guard lock(mutex_);
    paths_.insert(path);
  }
  void remove(const fs::path& path) {
    const std::lock_guard lock(mutex_);
    paths_.erase(path);
  }
  void unlink_all() noexcept {
    mutex_.lock();  // for ever: nothing is renamed any more
    for (const fs::path& path : paths_) ::unlink(path.c_str());
  }

 private:
  std::mutex mutex_;
  std::set<fs::path> paths_;
};

constexpr std::string_view kTemporaryMark = ".tmp-";  // and random letters
constexpr std::size_t kTemporaryLetters = 6;

fs::path temporary_name(const fs::path& path) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::string name = path.string().append(kTemporaryMark);
  for (std::size_t i = 0; i < kTemporaryLetters; ++i) name += kLetters[random() % kLetters.size()];
  return name;
}

}  // namespace

std::string read_file(const fs::path& path) {
  const Descriptor file(path);
  std::string text;
  text.reserve(file.size());
  read_on(file, path, text, std::numeric_limits<std::size_t>::max());
  return text;
}

std::string read_start(const fs::path& path, std::size_t count) {
  const Descriptor file(path);
  std::string start;
  read_on(file, path, start, count);
  return start;
}

MappedFile::MappedFile(const fs::path& path) {
  const Descriptor file(path);
  size_ = file.size();
  if (size_ == 0) return;
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.value(), 0);
  if (data == MAP_FAILED) fail("{}: cannot be mapped: {}", path.string(), std::strerror(errno));
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  do {
    Temporaries::of_process().remove(temporary_);
    temporary_ = temporary_name(path_);
    Temporaries::of_process().add(temporary_);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);  // less the umask
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ >= 0) return;
  const int error = errno;
  Temporaries::of_process().remove(temporary_);
  fail("{}: cannot be written: {}", path_.string(), std::strerror(error));
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
  Temporaries::of_process().remove(temporary_);
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write(std::span<const std::byte> bytes) { write_all(descriptor_, path_, bytes); }

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail("{}: cannot be written: {}", path_.string(), std::strerror(errno));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail("{}: cannot be replaced: {}", path_.string(), std::strerror(errno));
  }
  Temporaries::of_process().remove(temporary_);
  ::close(std::exchange(descriptor_, -1));
  sync_folder(path_.parent_path());
}

void AtomicFile::abandon_all() noexcept { Temporaries::of_process().unlink_all(); }

void AtomicFile::remove_abandoned(const fs::path& path) noexcept {
  std::error_code error;
  const std::string prefix = path.filename().string().append(kTemporaryMark);
  for (fs::directory_iterator entry(path.has_parent_path() ? path.parent_path() : ".", error), end;
       !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool temporary = name.size() == prefix.size() + kTemporaryLetters && name.starts_with(prefix);
    if (temporary && entry->is_regular_file(error)) fs::remove(entry->path(), error);
  }
}

FileLock::FileLock(const fs::path& path) : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) fail("{}: cannot be written: {}", path.string(), std::strerror(errno));
  while (!(held_ = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) && errno != EWOULDBLOCK) {
    if (errno == EINTR) continue;
    const int error = errno;
    ::close(descriptor_);
    fail("{}: cannot be locked: {}", path.string(), std::strerror(error));
  }
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), held_(std::exchange(other.held_, false)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(held_, other.held_);
  return *this;
}

void append_to_file(const fs::path& path, std::string_view text) {
  const Descriptor file(path, O_WRONLY | O_APPEND | O_CREAT, "written");
  write_all(file.value(), path, std::as_bytes(std::span(text)));
}

void sync_file(const fs::path& path) {
  const Descriptor file(path, O_WRONLY, "written");
  if (::fsync(file.value()) != 0) fail("{}: cannot be written: {}", path.string(), std::strerror(errno));
}

void sync_folder(const fs::path& folder) noexcept {
  const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

void write_file(const fs::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace reel
