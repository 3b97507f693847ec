#include "kernels/cuda/recurrence/estimate.h"

#include <algorithm>

#include "kernels/cuda/plan.h"
#include "kernels/cuda/recurrence/moves.h"
#include "kernels/cuda/recurrence/step_cycles.h"

namespace reel::cuda {

namespace {

/// The template arguments, after width and cell, of the instance that runs; nothing where they say how many rows it
/// takes at once, of which the table has all.
std::optional<std::string> arguments_of(const RecurrenceRun& run) {
  const auto has = [&](const char* part) { return run.kernel.find(part) != std::string::npos; };
  const auto text = [](bool yes) { return std::string(yes ? "true" : "false"); };
  const bool back = has("backward"), gated = has("gated");
  if (has("tensor_core")) {
    const bool whole = run.shape.hidden % (gated ? 2 : 4) == 0;  // units are moved several at once
    const Moves moves = run.packed ? Moves::kPacked : whole ? Moves::kTogether : Moves::kSingly;
    return std::string(name_of(moves)) + (gated && back ? ", " + text(run.has_steps || !whole) : "");
  }
  if (gated) return std::nullopt;
  return back && !has("cluster") ? text(run.has_steps) : "";
}

}  // namespace

std::optional<double> estimated_microseconds(const RecurrenceRun& run) {
  constexpr double kMeanLength = 0.85;  // of IMDB's reviews cut at 200 words, of those 200
  const std::optional<std::string> arguments = arguments_of(run);
  const auto fits = [&](const StepCycles& step) {
    return step.kernel == run.kernel && step.cell == run.cell && step.width >= run.shape.hidden &&
           (!arguments || step.arguments == *arguments);
  };
  int width = 0;
  for (const StepCycles& step : kStepCycles) {
    if (fits(step) && (width == 0 || step.width < width)) width = step.width;
  }
  const std::int64_t rows = (run.shape.batch + run.parts - 1) / run.parts;  // of the busiest part
  std::optional<double> least;
  for (const StepCycles& step : kStepCycles) {
    if (!fits(step) || step.width != width) continue;
    const auto turns = static_cast<double>((rows + step.rows - 1) / step.rows);
    const double steps = std::max(1.0, kMeanLength * turns) * static_cast<double>(run.shape.steps);
    const double microseconds = 1e6 * steps * step.cycles / DeviceRates::kClockHz;
    least = std::min(microseconds, least.value_or(microseconds));
  }
  return least;
}

}  // namespace reel::cuda
