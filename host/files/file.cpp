#include "host/files/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

/// An open file descriptor with its owner.
class Descriptor {
 public:
  explicit Descriptor(const fs::path& path) : value_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (value_ < 0) fail("{}: cannot be read: {}", path.string(), std::strerror(errno));
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

constexpr std::string_view kTemporaryMark = ".tmp-", kTemporaryName = "XXXXXX";  // of which mkostemp makes a new one

/// Makes a rename in `folder` survive a power cut. Some file systems cannot sync a folder; that is not an error.
void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

std::string read_file(const fs::path& path) {
  const Descriptor file(path);
  std::string text;
  text.reserve(file.size());
  char block[1 << 16];
  for (;;) {
    const ssize_t count = ::read(file.value(), block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("{}: cannot be read: {}", path.string(), std::strerror(errno));
    if (count == 0) return text;
    text.append(block, static_cast<std::size_t>(count));
  }
}

std::string read_start(const fs::path& path, std::size_t count) {
  const Descriptor file(path);
  std::string start(count, '\0');
  const ssize_t read = ::pread(file.value(), start.data(), count, 0);
  if (read < 0) fail("{}: cannot be read: {}", path.string(), std::strerror(errno));
  start.resize(static_cast<std::size_t>(read));
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
  std::string name = path_.string().append(kTemporaryMark).append(kTemporaryName);
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) fail("{}: cannot be written: {}", path_.string(), std::strerror(errno));
  temporary_ = name;
  ::fchmod(descriptor_, 0644);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("{}: cannot be written: {}", path_.string(), std::strerror(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail("{}: cannot be written: {}", path_.string(), std::strerror(errno));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail("{}: cannot be replaced: {}", path_.string(), std::strerror(errno));
  }
  ::close(std::exchange(descriptor_, -1));
  sync_folder(path_.parent_path());
}

void AtomicFile::remove_abandoned(const fs::path& path) noexcept {
  std::error_code error;
  const std::string prefix = path.filename().string().append(kTemporaryMark);
  for (fs::directory_iterator entry(path.has_parent_path() ? path.parent_path() : ".", error), end;
       !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool temporary = name.size() == prefix.size() + kTemporaryName.size() && name.starts_with(prefix);
    if (temporary && entry->is_regular_file(error)) fs::remove(entry->path(), error);
  }
}

void write_file(const fs::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace reel
