#include "host/predict/evaluate.h"

#include <cmath>

#include "host/model/parameters.h"
#include "kernels/make_backend.h"
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

/// However few are padded at a time: with a maxlen of 100000 all of them would take gigabytes.
TEST(EvaluateReviews, SomeAtATimeIsTheSame) {
  const auto backend = make_backend({.threads = 1});
  const ModelConfig config{.vocabulary = 9, .embedding = 4, .hidden = 5};
  Model<float> model(*backend, config, 2, 8);
  std::vector<float> weights(model.parameters().size());
  initialise<float>(config, {.seed = 3}, weights);
  backend->upload(std::span<const float>(weights), model.parameters());
  Reviews reviews;
  for (int i = 0; i < 7; ++i) {
    for (int word = 0; word <= i; ++word) reviews.ranks.push_back((3 * i + word) % 6);
    reviews.begin.push_back(std::ssize(reviews.ranks));
    reviews.labels.push_back(i % 2);
  }
  const LoadOptions load{.num_words = 9, .maxlen = 8};  // with the start the last review is too long
  const Preprocessing how{.load = load, .maxlen = 8, .mask = false};
  const Evaluation whole = evaluate(model, make_dataset(reviews, load, 8, how.truncating), how.batch_padding(), 2);
  ASSERT_EQ(whole.reviews(), 6);
  for (const std::int64_t most : {1, 8, 23, 1000}) {
    const Evaluation some = evaluate_reviews(model, reviews, load, how, {.steps = 8, .rows = 2, .most_steps = most});
    EXPECT_EQ(some.loss, whole.loss) << most;
    EXPECT_EQ(some.true_positive, whole.true_positive);
    EXPECT_EQ(some.true_negative, whole.true_negative);
    EXPECT_EQ(some.reviews(), 6);
  }
}

}  // namespace
}  // namespace reel
