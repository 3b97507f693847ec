// How long a recurrence is expected to take, from the cycles of a time step that bench/cycles.py reads off the machine
// code (step_cycles.h): a model that no GPU has been held against.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernels/contract/recurrence.h"

namespace reel::cuda {

/// A kernel's time step, of so many batch rows at once on a multiprocessor, or of a cluster on all of its.
struct StepCycles {
  std::string_view kernel;  // "rnn_forward_kernel"
  int width;                // the hidden units that it has room for
  Cell cell;
  std::string_view arguments;  // its other template arguments: "true"
  int rows;
  int cycles;
};

struct RecurrenceRun {
  std::string kernel;  // as in StepCycles
  Cell cell;
  SequenceShape shape;
  bool has_steps = false;  // back: whether some of what flows back is known step by step alone
  bool packed = false;     // whether sequences are
  int parts = 1;           // multiprocessors, or clusters, that share the batch rows
};

/// Microseconds of one launch for all timesteps; nothing where no such kernel is known. Of rows that a part takes one
/// after another, the mean length counts, of others the longest.
std::optional<double> estimated_microseconds(const RecurrenceRun& run);

}  // namespace reel::cuda
