#include "host/predict/readout.h"

#include "host/predict/measures.h"
#include "tests/support/support.h"

namespace reel {
namespace {

TEST(Readout, SurvivesMetadata) {
  const Readout binary{.temperature = 1.0 / 3, .thresholds = {0.25}};
  EXPECT_EQ(readout_of(to_metadata(binary), {}, "m"), binary);
  const ModelConfig labels{.task = Task::kMultiLabel, .outputs = 2};
  const Readout several{.thresholds = {0.1, 1.0 / 3}};
  EXPECT_EQ(readout_of(to_metadata(several), labels, "m"), several);
  const ModelConfig numbers{.task = Task::kRegression};
  const Readout found{.mean = -2.5, .scale = 1e-3};
  EXPECT_EQ(readout_of(to_metadata(found), numbers, "m"), found);
  EXPECT_TRUE(to_metadata(Readout{}).empty()) << "files of two classes are as they were";
}

TEST(Readout, OfAnotherModelIsRefused) {
  const ModelConfig classes{.outputs = 3};
  expect_error([&] { readout_of({{"thresholds", "[0.5,0.5,0.5]"}}, classes, "m"); }, {"m: metadata 'thresholds'"});
  expect_error([&] { readout_of({{"thresholds", "[0.5,0.5]"}}, {}, "m"); }, {"expected 1 number from 0 to 1"});
  expect_error([&] { readout_of({{"thresholds", "[1.5]"}}, {}, "m"); }, {"expected 1 number from 0 to 1"});
  for (const char* wrong : {"0", "-1", "nan", "many", "1 2", "", "[]"}) {
    EXPECT_THROW(readout_of({{"temperature", wrong}}, {}, "m"), Error) << wrong;
    EXPECT_THROW(readout_of({{"target_scale", wrong}}, {}, "m"), Error) << wrong;
  }
}

TEST(Readout, OfEqualNumbersHasTheirMean) {
  Targets targets{.begin = {0, 1, 2}, .columns = {0, 0}, .values = {7, 7}};
  EXPECT_EQ(standardise(targets, "d"), (Readout{.mean = 7}));
  EXPECT_EQ(targets.values, (std::vector<float>{0, 0}));
}

TEST(Readout, OfNumbersTooLargeIsRefused) {
  Targets large{.begin = {0, 1, 2}, .columns = {0, 0}, .values = {1e31f, 3e31f}};
  expect_error([&] { standardise(large, "d.csv"); }, {"d.csv: numbers of mean 2e+31"});
  Targets equal;
  for (int i = 0; i < 49; ++i) {
    equal.add(0, 0.1f);
    equal.end_row();
  }
  EXPECT_EQ(standardise(equal, "d").scale, 1);
}

/// Logits that are too sure of themselves, and decide best between 4 and 8.
TEST(Readout, IsChosenOnRows) {
  const std::vector<float> logits = {-12, -8, -4, 2, 4, 8, 10, 12};
  const Dataset rows{.labels = {0, 0, 0, 0, 0, 1, 1, 0}};
  const Readout chosen = choose_readout({.temperature = true, .thresholds = true}, {}, logits, rows);
  EXPECT_GT(chosen.temperature, 2);
  ASSERT_EQ(chosen.thresholds.size(), 1u);
  const double at = decision_logit(chosen.thresholds[0]) * chosen.temperature;
  EXPECT_TRUE(at > 4 && at < 8) << at << ": of probabilities after the temperature";
  EXPECT_EQ(choose_readout({.temperature = true}, {}, logits, rows).thresholds.size(), 0u);
  EXPECT_EQ(choose_readout({.thresholds = true}, {}, logits, rows).temperature, 1);
  const ModelConfig labels{.task = Task::kMultiLabel, .outputs = 2};
  const Targets several{.begin = {0, 1, 2, 3, 4}, .columns = {0, 1, 0, 1}, .values = {1, 1, 1, 1}};
  const Readout each = choose_readout({.thresholds = true}, labels, std::vector<float>{3, -1, 1, 2, 2, 0, -1, 1},
                                      {.labels = {0, 0, 0, 0}, .targets = several});
  ASSERT_EQ(each.thresholds.size(), 2u);
  EXPECT_GT(each.thresholds[0], 0.731) << "above the second row's, which has not the label";
  EXPECT_GT(each.thresholds[1], 0.5);
}

}  // namespace
}  // namespace reel
