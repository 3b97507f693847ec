#include "host/train/measured_steps.h"

#include <gtest/gtest.h>

#include "kernels/make_backend.h"

namespace reel {
namespace {

TEST(MeasuredSteps, CountsWhatItsStepsAdded) {
  const auto backend = make_cpu_backend<float>(1);
  MeasuredSteps measured(*backend, 2);
  EXPECT_EQ(measured.room(), 2);
  measured.slots()[static_cast<std::size_t>(measured.next_slot())] = {.loss_sum = 1};
  measured.add(16, 300);
  EXPECT_EQ(measured.unfinished().reviews, 16);
  EXPECT_EQ(measured.unfinished().tokens, 300);
  measured.slots()[static_cast<std::size_t>(measured.next_slot())] = {.loss_sum = 2};
  measured.add(4, 70);
  EXPECT_EQ(measured.room(), 0);
  EXPECT_FALSE(measured.take(true)) << "none is being read yet";
  measured.read(9);
  const std::optional<StepWindow> window = measured.take(false);
  ASSERT_TRUE(window);
  EXPECT_EQ(window->last_step, 9);
  EXPECT_EQ(window->reviews, 20);
  EXPECT_EQ(window->tokens, 370);
  ASSERT_EQ(window->stats.size(), 2u);
  EXPECT_EQ(window->stats[0].loss_sum, 1);
  EXPECT_EQ(window->stats[1].loss_sum, 2);
  EXPECT_EQ(measured.unfinished().reviews, 0);
  EXPECT_EQ(measured.unfinished().tokens, 0);
}

}  // namespace
}  // namespace reel
