#include "host/model/schedule.h"

#include <gtest/gtest.h>

namespace reel {
namespace {

TEST(Schedule, Constant) {
  const Schedule s{.kind = ScheduleKind::kConstant, .peak = 2, .warmup = 0, .total = 10};
  EXPECT_EQ(s.at(0), 2);
  EXPECT_EQ(s.at(9), 2);
}

TEST(Schedule, LinearWithWarmUp) {
  const Schedule s{.kind = ScheduleKind::kLinear, .peak = 1, .warmup = 0.2, .total = 10};
  EXPECT_DOUBLE_EQ(s.at(0), 0.5);
  EXPECT_DOUBLE_EQ(s.at(1), 1);
  EXPECT_DOUBLE_EQ(s.at(2), 1);
  EXPECT_DOUBLE_EQ(s.at(6), 0.5);
  EXPECT_DOUBLE_EQ(s.at(9), 0.125);
  EXPECT_DOUBLE_EQ(s.at(10), 0);
  EXPECT_DOUBLE_EQ(s.at(50), 0);
}

TEST(Schedule, Cosine) {
  const Schedule s{.kind = ScheduleKind::kCosine, .peak = 4, .warmup = 0, .total = 8};
  EXPECT_DOUBLE_EQ(s.at(0), 4);
  EXPECT_DOUBLE_EQ(s.at(4), 2);
  EXPECT_NEAR(s.at(8), 0, 1e-15);
}

}  // namespace
}  // namespace reel
