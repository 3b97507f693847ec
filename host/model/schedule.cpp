#include "host/model/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace reel {

double Schedule::at(std::int64_t step) const {
  const double steps = static_cast<double>(total), rise = warmup * steps, now = static_cast<double>(step);
  if (now < rise) return peak * (now + 1) / std::max(rise, 1.0);
  if (kind == ScheduleKind::kConstant) return peak;
  const double done = std::min((now - rise) / std::max(steps - rise, 1.0), 1.0);
  return kind == ScheduleKind::kLinear ? peak * (1 - done) : peak * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

}  // namespace reel
