// Temperatures and thresholds against those of SciPy and of trying them all; tests/golden/make_measures_golden.py wrote
// the values.
#include "host/predict/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <vector>

#include "host/predict/measures.h"
#include "kernels/error.h"
#include "tests/support/support.h"

namespace reel {
namespace {

constexpr double kTemperatureTolerance = 1e-10, kThresholdTolerance = 1e-12;  // relative; a zero is found less exactly

class CalibrationGolden : public testing::Test {
 protected:
  CalibrationGolden() {
    std::ifstream file(test_files() / "golden" / "measures.json");
    golden_ = nlohmann::json::parse(file);
  }

  nlohmann::json golden_;
};

TEST_F(CalibrationGolden, TemperatureOfOneClassARow) {
  for (const auto& test : golden_["single_label"]) {
    const auto expected = test["temperature"].get<double>();
    EXPECT_NEAR(fit_temperature(test["logits"].get<std::vector<float>>(),
                                test["labels"].get<std::vector<std::int32_t>>(), test["width"]),
                expected, kTemperatureTolerance * expected)
        << test["name"];
  }
}

TEST_F(CalibrationGolden, TemperatureOfSeveralLabelsARow) {
  for (const auto& test : golden_["multi_label"]) {
    const auto expected = test["temperature"].get<double>();
    EXPECT_NEAR(fit_temperature(test["logits"].get<std::vector<float>>(), test["truth"].get<std::vector<float>>()),
                expected, kTemperatureTolerance * expected)
        << test["name"];
  }
}

TEST_F(CalibrationGolden, Thresholds) {
  int tests = 0;
  for (const auto& test : golden_["single_label"]) {
    if (test["width"] != 1) continue;
    const auto logits = test["logits"].get<std::vector<float>>();
    const auto labels = test["labels"].get<std::vector<std::int32_t>>();
    for (const auto& [goal, name] :
         {std::pair(ThresholdGoal::kAccuracy, "accuracy_threshold"), std::pair(ThresholdGoal::kF1, "f1_threshold")}) {
      const auto expected = test[name].get<double>();
      EXPECT_NEAR(best_threshold(logits, labels, goal), expected, kThresholdTolerance) << test["name"] << name;
      ++tests;
    }
  }
  EXPECT_EQ(tests, 26);
}

TEST(Temperature, BothKindsOfTwoClassesHaveTheSame) {
  const std::vector<float> one = {3, -1, 0.5f, 2, -4}, two = {0, 3, 1, 0, -0.5f, 0, -1, 1, 5, 1};
  const std::vector<std::int32_t> labels = {1, 1, 0, 1, 0};
  EXPECT_NEAR(fit_temperature(one, labels, 1), fit_temperature(two, labels, 2), 1e-12);
  EXPECT_NEAR(fit_temperature(one, labels, 1), fit_temperature(one, std::vector<float>{1, 1, 0, 1, 0}), 1e-12);
}

TEST(Temperature, IsOneWhereItDoesNotMatter) {
  EXPECT_EQ(fit_temperature({}, std::vector<std::int32_t>(), 1), 1);
  EXPECT_EQ(fit_temperature({}, std::vector<float>()), 1);
  EXPECT_EQ(fit_temperature(std::vector<float>{0, 0}, std::vector<std::int32_t>{0, 1}, 1), 1);
  EXPECT_EQ(fit_temperature(std::vector<float>{0.1f, 0.1f, 0.1f, 7, 7, 7}, std::vector<std::int32_t>{0, 2}, 3), 1);
}

/// Two of three right by logits of +-z: the loss is least where the sigmoid of z / T is 2 / 3.
TEST(Temperature, IsExactOverItsWholeInterval) {
  const std::vector<std::int32_t> labels = {1, 1, 0};
  for (const float z : {0.04f, 0.3f, 1.0f, 5.0f, 13.0f}) {
    EXPECT_NEAR(fit_temperature(std::vector<float>{z, z, z}, labels, 1), double{z} / std::log(2.0), 1e-9 * double{z});
  }
  EXPECT_EQ(fit_temperature(std::vector<float>{0.01f, 0.01f, 0.01f}, labels, 1), kMinTemperature);
  EXPECT_EQ(fit_temperature(std::vector<float>{20, 20, 20}, labels, 1), kMaxTemperature);
}

TEST(Temperature, WhatDoesNotFitIsRefused) {
  const std::vector<float> three = {1, 2, 3};
  EXPECT_THROW(fit_temperature(three, std::vector<std::int32_t>{0, 1}, 1), ContractError);
  EXPECT_THROW(fit_temperature(three, std::vector<std::int32_t>{0, 1, 2}, 1), ContractError);
  EXPECT_THROW(fit_temperature(three, std::vector<std::int32_t>{3}, 3), ContractError);
  EXPECT_THROW(fit_temperature(three, std::vector<std::int32_t>{}, 0), ContractError);
  EXPECT_THROW(fit_temperature(three, three), ContractError);
  EXPECT_THROW(fit_temperature(three, std::span(three).first(2)), ContractError);
  EXPECT_THROW(fit_temperature(std::vector<float>{std::nanf("")}, std::vector<std::int32_t>{0}, 1), ContractError);
}

double f1_at(double threshold, const std::vector<float>& logits, const std::vector<std::int32_t>& labels) {
  ClassMeter meter(1, threshold);
  meter.add(logits, labels);
  return meter.finish().classes[1].f1();
}

/// Also of logits whose probabilities are 1 but for the last bits, or to the last.
TEST(Threshold, DecidesAsTheMetersDo) {
  const std::vector<float> near = {-2, 1, 3}, far = {20, 34, 36.5f}, rounded = {40, 50, 60};
  const std::vector<std::int32_t> labels = {0, 0, 1};
  EXPECT_EQ(f1_at(best_threshold(near, labels, ThresholdGoal::kF1), near, labels), 1);
  EXPECT_EQ(f1_at(best_threshold(far, labels, ThresholdGoal::kF1), far, labels), 1);
  EXPECT_EQ(best_threshold(rounded, labels, ThresholdGoal::kAccuracy), 1) << "no other tells them apart";
  EXPECT_LT(best_threshold(rounded, labels, ThresholdGoal::kF1), 1) << "which calls nothing positive";
}

TEST(Threshold, TiesAreTheNearestToAHalfThenTheLower) {
  const std::vector<float> logits = {-3, -1, 1, 3};
  EXPECT_DOUBLE_EQ(best_threshold(logits, std::vector<std::int32_t>{0, 0, 1, 1}, ThresholdGoal::kAccuracy), 0.5);
  EXPECT_DOUBLE_EQ(best_threshold(logits, std::vector<std::int32_t>{0, 0, 0, 0}, ThresholdGoal::kF1), 0.5);
  // Right are three rows between -1 and 1, and between 1 and 3: the first is nearer.
  EXPECT_LT(
      best_threshold({logits.begin() + 1, logits.end()}, std::vector<std::int32_t>{0, 0, 1}, ThresholdGoal::kAccuracy),
      0.95);
  EXPECT_DOUBLE_EQ(best_threshold(std::vector<float>{0, 0}, std::vector<std::int32_t>{0, 1}, ThresholdGoal::kAccuracy),
                   0.25);
}

TEST(Threshold, OfNoRowsIsAHalf) {
  EXPECT_EQ(best_threshold({}, {}, ThresholdGoal::kF1), 0.5);
  EXPECT_EQ(best_threshold({}, {}, ThresholdGoal::kAccuracy), 0.5);
}

TEST(Threshold, WhatDoesNotFitIsRefused) {
  const std::vector<float> two = {1, std::nanf("")};
  EXPECT_THROW(best_threshold(two, std::vector<std::int32_t>{1}, ThresholdGoal::kF1), ContractError);
  EXPECT_THROW(best_threshold(two, std::vector<std::int32_t>{1, 0}, ThresholdGoal::kF1), ContractError);
  EXPECT_THROW(best_threshold(std::span(two).first(1), std::vector<std::int32_t>{2}, ThresholdGoal::kF1),
               ContractError);
}

}  // namespace
}  // namespace reel
