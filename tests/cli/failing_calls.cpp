// Preloaded into the program: one of its calls that write fails, or is its last.
//
//   REEL_FAULT_FILE=state.safetensors   counts write, fsync and rename of files whose paths contain this,
//   REEL_FAULT_CALL=n                   and of these the n-th
//   REEL_FAULT=full|kill                finds the disk full, or ends the process.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

template <class Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

/// Whether this call shall fail; does not return if it shall be the last one.
bool fails(const char* path) {
  static std::atomic<long> calls = 0;
  const char *const file = std::getenv("REEL_FAULT_FILE"), *const fault = std::getenv("REEL_FAULT");
  if (file == nullptr || fault == nullptr || std::strstr(path, file) == nullptr) return false;
  if (++calls != std::strtol(std::getenv("REEL_FAULT_CALL"), nullptr, 10)) return false;
  if (std::strcmp(fault, "kill") == 0) ::kill(::getpid(), SIGKILL);
  errno = ENOSPC;
  return true;
}

bool fails(int descriptor) {
  char link[64], path[4096] = "";
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  if (::readlink(link, path, sizeof path - 1) < 0) return false;
  return fails(path);
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* bytes, size_t count) {
  static const auto next = real<ssize_t (*)(int, const void*, size_t)>("write");
  return fails(descriptor) ? -1 : next(descriptor, bytes, count);
}

int fsync(int descriptor) {
  static const auto next = real<int (*)(int)>("fsync");
  return fails(descriptor) ? -1 : next(descriptor);
}

int rename(const char* from, const char* to) noexcept {
  static const auto next = real<int (*)(const char*, const char*)>("rename");
  return fails(to) ? -1 : next(from, to);
}
}
