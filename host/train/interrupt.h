// Ctrl-C and SIGTERM as a flag: the training loop looks at it between steps.
#pragma once

namespace reel {

/// While one exists, the first SIGINT or SIGTERM sets the flag. Another one within a second is the same request:
/// timeout(1) signals the program and its group, a terminal the whole group. A later one ends the program as usual.
/// Once a signal has come this lasts beyond the guard's life, so that what was saved can still be reported.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The signal that came, or 0.
  static int signal();
};

}  // namespace reel
