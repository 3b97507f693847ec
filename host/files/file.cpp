#include "host/files/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
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
    const int error = ::fstat(value_, &status) == 0 ? 0 : errno;
    if (error != 0 || S_ISDIR(status.st_mode)) {
      ::close(value_);
      fail("{}: {}, expected a file", path.string(), error != 0 ? std::strerror(error) : "is a folder");
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

/// Hands over what follows in the file, at most `most` bytes.
void read_on(const Descriptor& file, const fs::path& path, std::size_t most,
             const std::function<void(std::string_view)>& visit) {
  char block[1 << 16];
  while (most > 0) {
    const ssize_t count = ::read(file.value(), block, std::min(most, sizeof block));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("{}: cannot be read: {}", path.string(), std::strerror(errno));
    if (count == 0) return;
    visit({block, static_cast<std::size_t>(count)});
    most -= static_cast<std::size_t>(count);
  }
}

/// Before it is opened: opening a pipe waits for a writer.
void expect_regular(const fs::path& path) {
  std::error_code error;  // of what is not there, opening it says more
  const fs::file_status status = fs::status(path, error);
  if (fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status)) {
    fail("{}: is no regular file, expected one", path.string());
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
  /// Makes the file; its descriptor, or -1 with errno.
  int open(const fs::path& path) {
    const std::lock_guard lock(mutex_);
    const auto added = paths_.insert(path).first;
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);  // less the umask
    if (descriptor < 0) paths_.erase(added);
    return descriptor;
  }
  /// 0, or -1 with errno.
  int rename(const fs::path& path, const fs::path& to) {
    const std::lock_guard lock(mutex_);
    const int result = ::rename(path.c_str(), to.c_str());
    if (result == 0) paths_.erase(path);
    return result;
  }
  void unlink(const fs::path& path) noexcept {
    const std::lock_guard lock(mutex_);
    ::unlink(path.c_str());
    paths_.erase(path);
  }
  void unlink_all() noexcept {
    mutex_.lock();  // for ever: nothing is made or renamed any more
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

bool is_there(const fs::path& path) {
  std::error_code error;
  const bool there = fs::exists(path, error);
  if (error) fail("{}: cannot be read: {}", path.string(), error.message());
  return there;
}

std::string read_all(const fs::path& path, std::size_t most) {
  const Descriptor file(path);
  std::string text;
  text.reserve(std::min(file.size(), most));
  read_on(file, path, most, [&](std::string_view block) { text += block; });
  return text;
}

std::string read_file(const fs::path& path, std::size_t most) {
  expect_regular(path);
  return read_all(path, most);
}

void read_blocks(const fs::path& path, const std::function<void(std::string_view)>& visit) {
  expect_regular(path);
  read_on(Descriptor(path), path, kWhole, visit);
}

std::vector<std::string> names_in(const fs::path& folder) {
  struct Close {
    void operator()(DIR* entries) const { ::closedir(entries); }
  };
  const std::unique_ptr<DIR, Close> entries(::opendir(folder.empty() ? "." : folder.c_str()));
  if (!entries) fail("{}: cannot be read: {}", folder.string(), std::strerror(errno));
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(entries.get());
    if (entry == nullptr && errno != 0) fail("{}: cannot be read: {}", folder.string(), std::strerror(errno));
    if (entry == nullptr) return names;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  do {
    temporary_ = temporary_name(path_);
    descriptor_ = Temporaries::of_process().open(temporary_);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail("{}: cannot be written: {}", path_.string(), std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  Temporaries::of_process().unlink(temporary_);
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write(std::span<const std::byte> bytes) {
  synced_ = false;
  write_all(descriptor_, path_, bytes);
}

void AtomicFile::sync() {
  if (synced_) return;
  if (::fsync(descriptor_) != 0) fail("{}: cannot be written: {}", path_.string(), std::strerror(errno));
  synced_ = true;
}

void AtomicFile::commit() {
  sync();
  if (Temporaries::of_process().rename(temporary_, path_) != 0) {
    fail("{}: cannot be replaced: {}", path_.string(), std::strerror(errno));
  }
  ::close(std::exchange(descriptor_, -1));
  sync_folder(path_.parent_path());
}

void AtomicFile::abandon_all() noexcept { Temporaries::of_process().unlink_all(); }

void AtomicFile::remove_abandoned(const fs::path& path) noexcept try {
  const std::string prefix = path.filename().string().append(kTemporaryMark);
  for (const std::string& name : names_in(path.parent_path())) {
    if (name.size() != prefix.size() + kTemporaryLetters || !name.starts_with(prefix)) continue;
    const fs::path file = path.parent_path() / name;
    std::error_code error;
    if (fs::is_regular_file(fs::symlink_status(file, error))) fs::remove(file, error);
  }
} catch (const std::exception&) {
  // They stay until the next time.
}

FileLock::FileLock(const fs::path& path)
    : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0)
    fail("{}: cannot be written: {}", path.string(), errno == ELOOP ? "a link" : std::strerror(errno));
  int error = 0;
  do {
    error = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
  } while (error == EINTR);
  works_ = error != ENOSYS && error != ENOLCK && error != EOPNOTSUPP;
  held_ = error == 0 || !works_;
  if (held_ || error == EWOULDBLOCK) return;
  ::close(descriptor_);
  fail("{}: cannot be locked: {}", path.string(), std::strerror(error));
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), held_(other.held_), works_(other.works_) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(held_, other.held_);
  std::swap(works_, other.works_);
  return *this;
}

void append_to_file(const fs::path& path, std::string_view text) {
  const Descriptor file(path, O_WRONLY | O_APPEND | O_CREAT, "written");
  write_all(file.value(), path, std::as_bytes(std::span(text)));
}

void create_folders(const fs::path& path) {
  std::error_code error;
  if (path.empty() || fs::is_directory(path, error)) return;
  const fs::path outer = path.has_filename() ? path.parent_path() : path.parent_path().parent_path();  // "run/", "run"
  create_folders(outer);
  fs::create_directory(path, error);
  if (error) fail("{}: cannot be made: {}", path.string(), error.message());
  sync_folder(outer);
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
