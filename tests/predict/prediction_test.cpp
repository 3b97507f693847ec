#include "host/predict/prediction.h"

#include <limits>

#include "tests/support/support.h"

namespace reel {
namespace {

std::string line(const LabelSet& labels, const std::vector<float>& logits, std::int64_t top = 0,
                 const Readout& readout = {}) {
  TrainedModel model;
  model.file = "model.safetensors";
  model.labels = labels;
  model.readout = readout;
  return to_json(prediction(model, logits, top));
}

TEST(Prediction, OfTwoClassesKeepsItsFields) {
  const LabelSet two;
  EXPECT_EQ(line(two, {0}), R"({"logit":0.0,"probability":0.5,"label":0,"name":"neg"})") << "0 is not above a half";
  EXPECT_EQ(line(two, {0}, 0, {.thresholds = {0.4}}), R"({"logit":0.0,"probability":0.5,"label":1,"name":"pos"})");
  EXPECT_EQ(line(two, {0}, 1),
            R"({"logit":0.0,"probability":0.5,"label":0,"name":"neg","top":[{"name":"neg","probability":0.5}]})");
}

TEST(Prediction, OfMoreNamesTheLikeliest) {
  const LabelSet three{.names = {"a", "b", "c"}};
  EXPECT_EQ(line(three, {0, 0, 0}).substr(0, 24), R"({"logits":[0.0,0.0,0.0],)");
  EXPECT_THAT(line(three, {0, 1, 0}), testing::EndsWith(R"("label":1,"name":"b"})"));
  EXPECT_EQ(line(three, {-1000, 1000, -1000}, 9),
            R"({"label":1,"name":"b","top":[{"name":"b","probability":1.0},{"name":"a","probability":0.0},)"
            R"({"name":"c","probability":0.0}]})")
      << "ties in the order of labels";
}

TEST(Prediction, OfSeveralLabelsNamesWhatIsAboveItsThreshold) {
  const LabelSet labels{.task = Task::kMultiLabel, .names = {"a", "b"}};
  EXPECT_THAT(line(labels, {1, -1}), testing::EndsWith(R"("names":["a"]})"));
  EXPECT_THAT(line(labels, {1, -1}, 0, {.thresholds = {0.9, 0.1}}), testing::EndsWith(R"("names":["b"]})"));
  EXPECT_THAT(line(labels, {-1, -1}), testing::EndsWith(R"("names":[]})"));
}

TEST(Prediction, OfARegressionIsInItsUnits) {
  EXPECT_EQ(line({.task = Task::kRegression, .names = {}}, {-2}, 0, {.mean = 10, .scale = 3}), R"({"value":4.0})");
}

TEST(Prediction, OfNoNumberIsAnError) {
  expect_error([] { line({}, {std::numeric_limits<float>::quiet_NaN()}); },
               {"model.safetensors: the model gives nan, which is no number"});
}

}  // namespace
}  // namespace reel
