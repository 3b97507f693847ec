// What differs from one step of a training run to the next, in backend memory: operations that are given a clock read
// it there. Enqueued once, as a graph, they are the next step each time the graph is launched.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/checks.h"
#include "kernels/philox.h"

namespace reel {

struct StepClock {
  std::int64_t step = 0;  // from 0, over all epochs
  std::int64_t row = 0;   // in the epoch's order of reviews, the first of the step's batch
  std::int64_t slot = 0;  // of the step's statistics
};

/// The next step begins: the clock of the step after it is `rows` further in the order, and has the slot after this
/// one's, or the first of `slots` after the last.
struct BeginStep {
  static constexpr const char* kName = "begin_step";
  std::span<StepClock> clock;  // in/out [2]: of the current step, which other operations read, and of the next one
  std::int64_t rows = 0;
  std::int64_t slots = 1;
};

// What an operation takes from its clock; without one, which is null, what its arguments say.

REEL_HOST_DEVICE constexpr RandomKey key_at(const StepClock* clock, RandomKey key) {
  if (clock != nullptr) key.step = static_cast<std::uint64_t>(clock->step);
  return key;
}
/// At most `last`: a graph that is launched once too often stays within its memory.
REEL_HOST_DEVICE constexpr std::int64_t row_at(const StepClock* clock, std::int64_t last) {
  if (clock == nullptr) return 0;
  return clock->row < last ? clock->row : last;
}
REEL_HOST_DEVICE constexpr std::int64_t slot_at(const StepClock* clock) { return clock == nullptr ? 0 : clock->slot; }

inline void check_arguments(const BeginStep& op) {
  check_size(op.clock, 2, "clock");
  check_not_negative(static_cast<double>(op.rows), "rows");
  check_positive(op.slots, "slots");
}

}  // namespace reel
