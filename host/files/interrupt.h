// Ctrl-C, SIGTERM and SIGHUP (a lost terminal).
#pragma once

#include <atomic>

namespace reel {

/// From here on a thread waits for these signals, but for those that were ignored; call it before any other thread is
/// made. They end the program at once, with exit code 128 + signal and without temporary files, also where it is PID 1,
/// for which Linux drops signals that nobody handles. Throws std::system_error where no thread can be made.
void watch_interrupts();

/// While one exists, the first signal sets a flag instead. Another one within a second is the same request: timeout(1)
/// signals the program and its group, a terminal the whole group. A later one ends the program at once. Once a signal
/// has come this lasts beyond the guard's life, so that what was saved can still be reported.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The signal that came, or 0.
  static int signal();
  /// The same for work that looks often, and then throws Interrupted (BackendOptions).
  static const std::atomic<int>& flag();
};

}  // namespace reel
