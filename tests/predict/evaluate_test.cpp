#include "host/predict/evaluate.h"

#include <cmath>

#include "host/model/parameters.h"
#include "kernels/make_backend.h"
#include "tests/support/support.h"

namespace reel {
namespace {

Evaluation measured(const ModelConfig& config, const std::vector<float>& logits, const Dataset& rows,
                    const Readout& readout = {}) {
  Meter meter(config, readout);
  meter.add(logits, rows);
  return meter.finish();
}

TEST(Meter, TakesThePositiveOfTwoClasses) {
  const std::vector<float> logits = {2, 1, -1, -2, 0, 3};
  const Dataset rows{.labels = {1, 0, 1, 0, 0, 1}};
  const Scores scores = measured({}, logits, rows).scores();
  EXPECT_EQ(scores.reviews, 6);
  EXPECT_DOUBLE_EQ(*scores.accuracy, 4.0 / 6) << "a logit of 0 is not positive: Keras' p > 0.5";
  const auto bce = [](double x, double y) {
    return -(y * std::log(1 / (1 + std::exp(-x))) + (1 - y) * std::log(1 / (1 + std::exp(x))));
  };
  double expected = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) expected += bce(logits[i], rows.labels[i]) / 6;
  EXPECT_NEAR(scores.loss, expected, 1e-12);
  const Evaluation of_none = measured({}, {}, {});
  EXPECT_EQ(*of_none.scores().accuracy, 0);
}

/// A temperature divides logits, a threshold moves the decision.
TEST(Meter, ReadsLogitsAsTheModelIsToBeRead) {
  const std::vector<float> logits = {2, 1, -1};
  const Dataset rows{.labels = {1, 0, 0}};
  EXPECT_DOUBLE_EQ(*measured({}, logits, rows).scores().accuracy, 2.0 / 3);
  EXPECT_EQ(*measured({}, logits, rows, {.thresholds = {0.8}}).scores().accuracy, 1);
  EXPECT_EQ(measured({}, logits, rows, {.temperature = 2}).scores().loss,
            measured({}, {1, 0.5f, -0.5f}, rows).scores().loss);
}

TEST(Meter, KnowsEveryTask) {
  const ModelConfig classes{.outputs = 3};
  const std::vector<float> logits = {5, 0, 0, 0, 5, 0};
  EXPECT_DOUBLE_EQ(*measured(classes, logits, {.labels = {0, 2}}).scores().accuracy, 0.5);
  const ModelConfig labels{.task = Task::kMultiLabel, .outputs = 3};
  const Targets several{.begin = {0, 1, 3}, .columns = {0, 0, 1}, .values = {1, 1, 1}};
  const Dataset rows{.labels = {0, 0}, .targets = several};
  EXPECT_DOUBLE_EQ(*measured(labels, {5, -5, -5, -5, 5, -5}, rows).scores().accuracy, 0.5) << "all labels of a row";
  const ModelConfig numbers{.task = Task::kRegression};
  const Targets found{.begin = {0, 1, 2}, .columns = {0, 0}, .values = {3, 5}};
  const Scores scores =
      measured(numbers, {0, 1}, {.labels = {0, 0}, .targets = found}, {.mean = 3, .scale = 4}).scores();
  EXPECT_DOUBLE_EQ(scores.loss, 2) << "3 and 7 for 3 and 5";
  EXPECT_FALSE(scores.accuracy);
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
  ASSERT_EQ(whole.scores().reviews, 6);
  for (const std::int64_t most : {1, 8, 23, 1000}) {
    const Evaluation some = evaluate_reviews(model, reviews, load, how, {.steps = 8, .rows = 2, .most_steps = most});
    EXPECT_EQ(some.scores().loss, whole.scores().loss) << most;
    EXPECT_EQ(some.scores().accuracy, whole.scores().accuracy);
    EXPECT_EQ(some.scores().reviews, 6);
  }
}

}  // namespace
}  // namespace reel
