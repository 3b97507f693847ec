// What is known of kernels, and what becomes of one that touches memory it may not. Compiled without sanitizers.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <map>

#include "tests/emulator/machine.h"
#include "tests/emulator/sanitizers.h"

namespace reel::emulator {
namespace {

std::map<const void*, KernelType>& kernels() {
  static std::map<const void*, KernelType> kernels;
  return kernels;
}

DescribeAddress describe = nullptr;
struct sigaction before {};

/// In a kernel: the launch ends with an error. The fiber never returns to the signal's frame.
void bad_access(int signal, siginfo_t* info, void* context) {
  char text[256] = "";
  describe(info->si_addr, text, sizeof text);
  if (current != nullptr) fail("invalid access at %p%s%s", info->si_addr, text[0] != '\0' ? ": " : "", text);
  if (text[0] != '\0') {
    char line[512];
    const int size = std::snprintf(line, sizeof line, "CUDA runtime: the host touches %p: %s\n", info->si_addr, text);
    static_cast<void>(!::write(STDERR_FILENO, line, static_cast<std::size_t>(size)));
  }
  if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(signal, info, context);
  ::sigaction(signal, &before, nullptr);  // the access is tried again
}

}  // namespace

void register_kernel(const void* kernel, const KernelType& type) { kernels()[kernel] = type; }

const KernelType* find_kernel(const void* kernel) {
  const auto found = kernels().find(kernel);
  return found == kernels().end() ? nullptr : &found->second;
}

void catch_bad_accesses(DescribeAddress function) {
  describe = function;
  if (kThreadSanitizer) return;  // which does not let a handler be left
  struct sigaction action {};
  action.sa_sigaction = bad_access;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ::sigaction(SIGSEGV, &action, &before);
}

}  // namespace reel::emulator
