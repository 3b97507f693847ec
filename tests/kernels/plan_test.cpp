#include "kernels/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace reel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

PlanNode node(double microseconds, std::vector<std::size_t> after, int launches = 1) {
  return {.name = "", .operation = "", .after = std::move(after), .launches = launches, .microseconds = microseconds};
}

TEST(Plan, ItsCriticalPathIsTheChainThatTakesLongest) {
  const Plan plan{{node(1, {}), node(5, {0}, 3), node(2, {0}), node(2.5, {2}), node(1, {1, 3}), node(0.5, {3})}};
  const std::vector<std::size_t> path = plan.critical_path();
  EXPECT_THAT(path, ElementsAre(0, 1, 4));
  EXPECT_DOUBLE_EQ(plan.microseconds(path), 7);
  EXPECT_EQ(plan.launches(path), 5);
  EXPECT_DOUBLE_EQ(plan.sum_of_microseconds(), 12);
}

TEST(Plan, ItsCriticalPathMayEndAnywhere) {
  EXPECT_THAT((Plan{{node(1, {}), node(9, {0}), node(2, {0})}}.critical_path()), ElementsAre(0, 1));
  EXPECT_THAT((Plan{{node(1, {}), node(9, {})}}.critical_path()), ElementsAre(1));
  EXPECT_THAT(Plan{}.critical_path(), IsEmpty());
}

}  // namespace
}  // namespace reel
