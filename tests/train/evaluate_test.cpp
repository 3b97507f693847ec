#include "host/train/evaluate.h"

#include <cmath>

#include "tests/support/support.h"

namespace reel {
namespace {

TEST(Score, CountsAndMeasures) {
  const std::vector<float> logits = {2, 1, -1, -2, 0, 3};
  const std::vector<std::int32_t> labels = {1, 0, 1, 0, 0, 1};
  const Evaluation e = score(logits, labels);
  EXPECT_EQ(e.true_positive, 2);
  EXPECT_EQ(e.false_positive, 1);
  EXPECT_EQ(e.false_negative, 1);
  EXPECT_EQ(e.true_negative, 2) << "a logit of 0 is not positive: Keras' p > 0.5";
  EXPECT_DOUBLE_EQ(e.accuracy(), 4.0 / 6);
  EXPECT_DOUBLE_EQ(e.f1(), 2.0 / 3);
  const auto bce = [](double x, double y) {
    return -(y * std::log(1 / (1 + std::exp(-x))) + (1 - y) * std::log(1 / (1 + std::exp(x))));
  };
  double expected = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) expected += bce(logits[i], labels[i]) / 6;
  EXPECT_NEAR(e.loss, expected, 1e-12);
}

// Brown, Cai and DasGupta, Statistical Science 16 (2001), the Wilson interval; values from an independent calculator.
TEST(Score, WilsonInterval) {
  const Evaluation half{.true_positive = 5, .false_positive = 5};
  EXPECT_NEAR(half.accuracy_interval().low, 0.2366, 1e-4);
  EXPECT_NEAR(half.accuracy_interval().high, 0.7634, 1e-4);
  const Evaluation all{.true_positive = 10};
  EXPECT_NEAR(all.accuracy_interval().low, 0.7225, 1e-4);
  EXPECT_NEAR(all.accuracy_interval().high, 1.0, 1e-12);
}

TEST(Score, NothingIsNoDivisionByZero) {
  const Evaluation none = score({}, {});
  EXPECT_EQ(none.accuracy(), 0);
  EXPECT_EQ(none.f1(), 0);
  EXPECT_EQ(none.loss, 0);
}

TEST(Score, ExtremeLogitsStayFinite) {
  EXPECT_DOUBLE_EQ(score(std::vector<float>{1e30f}, std::vector<std::int32_t>{1}).loss, 0);
  EXPECT_FLOAT_EQ(static_cast<float>(score(std::vector<float>{-1e30f}, std::vector<std::int32_t>{1}).loss), 1e30f);
}

}  // namespace
}  // namespace reel
