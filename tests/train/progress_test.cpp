#include "host/train/progress.h"

#include <gmock/gmock.h>

namespace reel {
namespace {

TEST(Progress, SaysWhereARunStands) {
  const StepReport report{.step = 50,
                          .steps_in_all = 100,
                          .epoch = 1,
                          .epochs = 2,
                          .loss = 0.5,
                          .accuracy = 0.75,
                          .tokens_per_second = 1.5e6,
                          .seconds_left = 61.2};
  EXPECT_EQ(progress_text(report, false),
            "epoch 1/2  step 50/100  loss 0.5000  accuracy 75.0 %  1500 thousand tokens/s  1:02 left");
  EXPECT_THAT(progress_text(report, true), testing::StartsWith("[============            ] epoch"));
}

}  // namespace
}  // namespace reel
