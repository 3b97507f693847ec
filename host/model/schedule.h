// Learning-rate schedules.
#pragma once

#include <cstdint>

namespace reel {

enum class ScheduleKind { kConstant, kLinear, kCosine };

/// The rate of step `step` (from 0) of `total`: rises linearly over the first warmup * total steps, then stays
/// (constant), falls linearly to 0, or falls along half a cosine to 0.
struct Schedule {
  ScheduleKind kind = ScheduleKind::kLinear;
  double peak = 1e-3;
  double warmup = 0.1;  // share of all steps
  std::int64_t total = 1;

  double at(std::int64_t step) const;
};

}  // namespace reel
