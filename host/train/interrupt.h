// Ctrl-C and SIGTERM as a flag: the training loop looks at it between steps.
#pragma once

namespace reel {

/// While one exists, the first SIGINT or SIGTERM sets the flag; a second one ends the program as usual.
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
