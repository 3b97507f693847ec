// Reads what training steps measured without making the device wait: a window of steps is copied to the host while the
// next window runs.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/backend.h"

namespace reel {

/// Consecutive steps.
struct StepWindow {
  std::int64_t last_step = 0;  // counts from 1
  std::int64_t reviews = 0, tokens = 0;
  std::vector<BatchStats> stats;  // one for each step
};

class MeasuredSteps {
 public:
  MeasuredSteps(Backend<float>& backend, std::int64_t steps_per_window);

  /// Where steps write, one after the other and again from the first slot on; which slot is the next one's.
  std::span<BatchStats> slots() { return stats_.span(); }
  std::int64_t next_slot() const;
  /// That step has been enqueued.
  void add(std::int64_t reviews, std::int64_t tokens);
  /// The steps of the window that is being filled, for a checkpoint; waits for the device.
  StepWindow unfinished();
  /// Goes on with such a window, which must have room for another step.
  void restore(const StepWindow& window);
  /// How many steps the window still takes.
  std::int64_t room() const { return steps_per_window_ - now_->steps; }

  /// Starts reading the steps since the last read; `last_step` is the newest. The window before must have been taken.
  void read(std::int64_t last_step);
  /// The window that is being read: if it has arrived, or `wait` says to wait for it.
  std::optional<StepWindow> take(bool wait);

 private:
  struct Window {
    std::int64_t first_slot = 0;
    std::unique_ptr<Readback> readback;
    std::int64_t steps = 0, last_step = 0, reviews = 0, tokens = 0;
  };
  std::span<BatchStats> stats_of(const Window& window) {
    return stats_.span(static_cast<std::size_t>(window.first_slot), static_cast<std::size_t>(window.steps));
  }

  Backend<float>& backend_;
  std::int64_t steps_per_window_;
  Buffer<BatchStats> stats_;  // of both windows, one behind the other
  std::array<Window, 2> windows_;
  Window* now_ = &windows_[0];      // steps write here
  Window* reading_ = &windows_[1];  // under way if it has steps
};

}  // namespace reel
