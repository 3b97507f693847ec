#include "host/train/interrupt.h"

#include <csignal>
#include <ctime>

namespace reel {
namespace {

volatile std::sig_atomic_t received = 0;
timespec first{};

constexpr double kOneRequestSeconds = 1;

double seconds_since(const timespec& then) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);  // async-signal-safe
  return static_cast<double>(now.tv_sec - then.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec - then.tv_nsec);
}

void remember(int signal) {
  if (received == 0) {
    clock_gettime(CLOCK_MONOTONIC, &first);
    received = signal;
  } else if (seconds_since(first) > kOneRequestSeconds) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

void handle_with(void (*handler)(int)) {
  std::signal(SIGINT, handler);
  std::signal(SIGTERM, handler);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  received = 0;
  handle_with(remember);
}

InterruptGuard::~InterruptGuard() {
  if (received == 0) handle_with(SIG_DFL);
}

int InterruptGuard::signal() { return received; }

}  // namespace reel
