// Preloaded into the program: one of its calls on files fails, does less than it was asked to, or is its last.
//
//   REEL_FAULT_FILE=state.safetensors   counts calls on files whose paths contain this,
//   REEL_FAULT_CALL=n                   and of these the n-th
//   REEL_FAULT=full|kill|wait           of those that write (open to write, write, fsync, rename, mkdir, flock):
//                                       finds the disk full, ends the process, or takes ten seconds
//   REEL_FAULT=kill-late                of the same: ends the process once a checkpoint lies beside and what other
//                                       threads are writing had two seconds more
//   REEL_FAULT=exists                   of the same: finds a file of that name
//   REEL_FAULT=error|interrupted|short  of those that read (open to read, read): an error of the disk, a signal, or
//                                       half of what was asked for
//   REEL_FAULT=wait-reading             of the same: takes ten seconds
//   REEL_FAULT=write-short|write-interrupted   of writes alone: half of what was asked for, or a signal
//   REEL_FAULT=memory                   of the allocations from the first opening of such a file on: there is no memory
//   REEL_FAULT=memory-of-cpp            of those by `new` alone
//   REEL_FAULT=no-locks                 of any file: there are no locks on this disk
//   REEL_FAULT=no-amx                   the system keeps AMX's tiles from the process
//   REEL_FAULT_LOG=FILE                 a line for each fsync and rename ("fsync run/config.toml.tmp-abcdef"), and one
//                                       where a call begins to take its time ("wait run/metrics.jsonl")
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>

namespace {

enum class Call { kReads, kWrites, kWrite };  // the last: write itself

bool is(const char* fault, const char* kind) { return std::strcmp(fault, kind) == 0; }

template <class Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

void log(const char* call, const char* path) {
  const char* const name = std::getenv("REEL_FAULT_LOG");
  if (name == nullptr) return;
  std::FILE* const file = std::fopen(name, "a");
  std::fprintf(file, "%s %s\n", call, path);
  std::fclose(file);
}

/// Ends the process when a checkpoint lies beside the file, whatever time this machine takes for it.
void kill_late(const char* path) {
  const std::string folder(path, std::string_view(path).rfind('/') + 1);
  for (int tenths = 0; ::access((folder + "last/state.safetensors").c_str(), F_OK) != 0; ++tenths) {
    if (tenths == 600) std::abort();
    ::usleep(100'000);
  }
  ::sleep(2);
  ::kill(::getpid(), SIGKILL);
}

std::atomic<bool> counts_malloc = false, counts_new = false;

/// What shall happen to this call, or null; does not return if it shall be the last one.
const char* fault(Call call, const char* given) {
  static std::atomic<long> calls = 0;
  char path[8192] = "";
  if (given[0] != '/' && ::getcwd(path, sizeof path / 2) != nullptr) std::strcat(path, "/");
  std::strncat(path, given, sizeof path / 2);
  const char *const file = std::getenv("REEL_FAULT_FILE"), *const kind = std::getenv("REEL_FAULT");
  if (file == nullptr || kind == nullptr || std::strstr(path, file) == nullptr) return nullptr;
  if (is(kind, "memory") || is(kind, "memory-of-cpp")) {
    (is(kind, "memory") ? counts_malloc : counts_new) = true;
    return nullptr;
  }
  const bool waits = is(kind, "wait") || is(kind, "wait-reading"),
             goes_on = is(kind, "write-short") || is(kind, "write-interrupted");
  const bool of_writing = is(kind, "wait") || goes_on || is(kind, "full") || is(kind, "exists") || is(kind, "kill") ||
                          is(kind, "kill-late");
  if (of_writing != (call != Call::kReads) || (goes_on && call != Call::kWrite)) return nullptr;
  if (++calls != std::strtol(std::getenv("REEL_FAULT_CALL"), nullptr, 10)) return nullptr;
  if (is(kind, "kill")) ::kill(::getpid(), SIGKILL);
  if (is(kind, "kill-late")) kill_late(path);
  if (waits) {
    log("wait", path);
    ::sleep(10);
    return nullptr;
  }
  errno = is(kind, "interrupted") || is(kind, "write-interrupted") ? EINTR
          : is(kind, "exists")                                     ? EEXIST
          : of_writing                                             ? ENOSPC
                                                                   : EIO;
  return kind;
}

const char* fault(Call call, int descriptor) {
  char link[64], path[4096] = "";
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  if (::readlink(link, path, sizeof path - 1) < 0) return nullptr;
  return fault(call, path);
}

int open_with(const char* name, const char* path, int flags, va_list more) {
  const auto mode = static_cast<mode_t>((flags & O_CREAT) != 0 ? va_arg(more, int) : 0);
  const auto next = real<int (*)(const char*, int, ...)>(name);
  const char* const found = fault((flags & O_ACCMODE) == O_RDONLY ? Call::kReads : Call::kWrites, path);
  // A signal does not interrupt the opening of a file on a disk, and it does not half succeed.
  if (found != nullptr && !is(found, "interrupted") && !is(found, "short")) return -1;
  return next(path, flags, mode);
}

}  // namespace

// glibc's own, by which a program's malloc may be replaced; sanitizers have theirs.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
}

namespace {

bool no_memory(const std::atomic<bool>& counts) {
  static std::atomic<long> allocations = 0;
  if (!counts) return false;
  if (++allocations != std::strtol(std::getenv("REEL_FAULT_CALL"), nullptr, 10)) return false;
  errno = ENOMEM;
  return true;
}

}  // namespace

extern "C" {

void* malloc(size_t size) { return no_memory(counts_malloc) ? nullptr : __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return no_memory(counts_malloc) ? nullptr : __libc_calloc(count, size); }
void* realloc(void* memory, size_t size) { return no_memory(counts_malloc) ? nullptr : __libc_realloc(memory, size); }
}

void* operator new(size_t size) {
  void* const memory = no_memory(counts_new) ? nullptr : malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }
#endif

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const int result = open_with("open", path, flags, more);
  va_end(more);
  return result;
}

int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const int result = open_with("open64", path, flags, more);
  va_end(more);
  return result;
}

ssize_t write(int descriptor, const void* bytes, size_t count) {
  static const auto next = real<ssize_t (*)(int, const void*, size_t)>("write");
  const char* const found = fault(Call::kWrite, descriptor);
  if (found == nullptr) return next(descriptor, bytes, count);
  return is(found, "write-short") ? next(descriptor, bytes, (count + 1) / 2) : -1;
}

ssize_t read(int descriptor, void* bytes, size_t count) {
  static const auto next = real<ssize_t (*)(int, void*, size_t)>("read");
  const char* const found = fault(Call::kReads, descriptor);
  if (found == nullptr) return next(descriptor, bytes, count);
  return is(found, "short") ? next(descriptor, bytes, (count + 1) / 2) : -1;
}

int fsync(int descriptor) {
  static const auto next = real<int (*)(int)>("fsync");
  char link[64], path[4096] = "";
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  if (::readlink(link, path, sizeof path - 1) > 0) log("fsync", path);
  return fault(Call::kWrites, descriptor) != nullptr ? -1 : next(descriptor);
}

int flock(int descriptor, int operation) noexcept {
  const char* const kind = std::getenv("REEL_FAULT");
  if (kind != nullptr && is(kind, "no-locks")) {
    errno = ENOLCK;
    return -1;
  }
  static const auto next = real<int (*)(int, int)>("flock");
  return fault(Call::kWrites, descriptor) != nullptr ? -1 : next(descriptor, operation);
}

#ifdef SYS_arch_prctl
long syscall(long number, ...) noexcept {
  long arguments[6];
  va_list more;
  va_start(more, number);
  for (long& argument : arguments) argument = va_arg(more, long);
  va_end(more);
  const char* const kind = std::getenv("REEL_FAULT");
  if (number == SYS_arch_prctl && kind != nullptr && is(kind, "no-amx")) {
    errno = EINVAL;
    return -1;
  }
  static const auto next = real<long (*)(long, ...)>("syscall");
  const auto& [a, b, c, d, e, f] = arguments;
  return next(number, a, b, c, d, e, f);
}
#endif

int rename(const char* from, const char* to) noexcept {
  static const auto next = real<int (*)(const char*, const char*)>("rename");
  log("rename", from);
  return fault(Call::kWrites, to) != nullptr ? -1 : next(from, to);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto next = real<int (*)(const char*, mode_t)>("mkdir");
  return fault(Call::kWrites, path) != nullptr ? -1 : next(path, mode);
}
}
