#include "kernels/cuda/recurrence/estimate.h"

#include <algorithm>

#include "kernels/cuda/plan.h"
#include "kernels/cuda/recurrence/step_cycles.h"

namespace reel::cuda {

std::optional<double> estimated_microseconds(const RecurrenceRun& run) {
  constexpr double kMeanLength = 0.85;  // of IMDB's reviews cut at 200 words, of those 200
  const auto fits = [&](const StepCycles& step) {
    return step.kernel == run.kernel && step.cell == run.cell && step.width >= run.shape.hidden &&
           step.arguments != (run.has_steps ? "false" : "true");
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
