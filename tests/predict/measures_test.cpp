// Measures against scikit-learn's; tests/golden/make_measures_golden.py wrote the values.
#include "host/predict/measures.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "tests/support/support.h"

namespace reel {
namespace {

constexpr double kTolerance = 1e-12;  // relative
constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

void expect_close(double actual, double expected, const char* what) {
  EXPECT_NEAR(actual, expected, kTolerance * std::abs(expected)) << what;
}

void expect_close(const std::optional<double>& actual, const nlohmann::json& expected, const char* what) {
  ASSERT_EQ(actual.has_value(), !expected.is_null()) << what;
  if (actual) expect_close(*actual, expected.get<double>(), what);
}

void expect_close(const Interval& actual, const nlohmann::json& expected, const char* what) {
  EXPECT_NEAR(actual.low, expected[0].get<double>(), kTolerance) << what;
  EXPECT_NEAR(actual.high, expected[1].get<double>(), kTolerance) << what;
}

/// What both kinds of classifiers have.
void check(const Measures& measures, const nlohmann::json& expected) {
  expect_close(measures.accuracy, expected["accuracy"].get<double>(), "accuracy");
  expect_close(measures.accuracy_interval, expected["accuracy_interval"], "accuracy_interval");
  expect_close(measures.macro_f1, expected["macro_f1"].get<double>(), "macro_f1");
  expect_close(measures.micro_f1, expected["micro_f1"].get<double>(), "micro_f1");
  expect_close(measures.log_loss, expected["log_loss"].get<double>(), "log_loss");
  ASSERT_EQ(measures.classes.size(), expected["f1"].size());
  for (std::size_t c = 0; c < measures.classes.size(); ++c) {
    SCOPED_TRACE(c);
    expect_close(measures.classes[c].precision(), expected["precision"][c].get<double>(), "precision");
    expect_close(measures.classes[c].recall(), expected["recall"][c].get<double>(), "recall");
    expect_close(measures.classes[c].f1(), expected["f1"][c].get<double>(), "f1");
  }
}

class MeasuresGolden : public testing::Test {
 protected:
  MeasuresGolden() {
    std::ifstream file(test_files() / "golden" / "measures.json");
    golden_ = nlohmann::json::parse(file);
  }

  nlohmann::json golden_;
};

TEST_F(MeasuresGolden, SingleLabel) {
  ASSERT_EQ(golden_["single_label"].size(), 23u);
  for (const auto& test : golden_["single_label"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    ClassMeter meter(test["width"], test["decision"]);
    const auto labels = test["labels"].get<std::vector<std::int32_t>>();
    meter.add(test["logits"].get<std::vector<float>>(), labels);
    const Measures measures = meter.finish();
    const auto& expected = test["expected"];
    EXPECT_FALSE(measures.multi_label);
    EXPECT_EQ(measures.rows, std::ssize(labels));
    check(measures, expected);
    expect_close(measures.roc_auc, expected["roc_auc"], "roc_auc");
    ASSERT_EQ(measures.roc_auc_interval.has_value(), measures.roc_auc.has_value());
    if (measures.roc_auc) expect_close(*measures.roc_auc_interval, expected["roc_auc_interval"], "roc_auc_interval");
    expect_close(measures.average_precision, expected["average_precision"], "average_precision");
    expect_close(measures.expected_calibration_error, expected["expected_calibration_error"], "calibration error");
    ASSERT_EQ(measures.confusion.size(), expected["confusion"].size());
    std::vector<std::int64_t> actual(measures.classes.size()), predicted = actual, right = actual;
    for (std::size_t i = 0; i < measures.confusion.size(); ++i) {
      const Confusion& c = measures.confusion[i];
      EXPECT_EQ(nlohmann::json({c.actual, c.predicted, c.rows}), expected["confusion"][i]);
      actual[static_cast<std::size_t>(c.actual)] += c.rows;
      predicted[static_cast<std::size_t>(c.predicted)] += c.rows;
      if (c.actual == c.predicted) right[static_cast<std::size_t>(c.actual)] += c.rows;
    }
    for (std::size_t c = 0; c < actual.size(); ++c) {
      EXPECT_EQ(measures.classes[c].actual, actual[c]);
      EXPECT_EQ(measures.classes[c].predicted, predicted[c]);
      EXPECT_EQ(measures.classes[c].right, right[c]);
    }
  }
}

TEST_F(MeasuresGolden, MultiLabel) {
  ASSERT_EQ(golden_["multi_label"].size(), 6u);
  for (const auto& test : golden_["multi_label"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    MultiLabelMeter meter(test["labels"], test["thresholds"].get<std::vector<double>>());
    const auto truth = test["truth"].get<std::vector<float>>();
    meter.add(test["logits"].get<std::vector<float>>(), truth);
    const Measures measures = meter.finish();
    EXPECT_TRUE(measures.multi_label);
    EXPECT_EQ(measures.rows * test["labels"].get<std::int64_t>(), std::ssize(truth));
    check(measures, test["expected"]);
    EXPECT_FALSE(measures.roc_auc || measures.average_precision || measures.expected_calibration_error);
    EXPECT_TRUE(measures.confusion.empty());
  }
}

TEST_F(MeasuresGolden, Regression) {
  ASSERT_EQ(golden_["regression"].size(), 7u);
  for (const auto& test : golden_["regression"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    RegressionMeter meter;
    meter.add(test["predictions"].get<std::vector<float>>(), test["truth"].get<std::vector<float>>());
    const RegressionMeasures measures = meter.finish();
    const auto& expected = test["expected"];
    expect_close(measures.mean_squared_error, expected["mean_squared_error"].get<double>(), "mean_squared_error");
    expect_close(measures.mean_absolute_error, expected["mean_absolute_error"].get<double>(), "mean_absolute_error");
    expect_close(measures.r2, expected["r2"], "r2");
  }
}

/// The same bits, whatever is added at once.
TEST_F(MeasuresGolden, RowByRowIsTheSame) {
  for (const auto& test : golden_["single_label"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const auto logits = test["logits"].get<std::vector<float>>();
    const auto labels = test["labels"].get<std::vector<std::int32_t>>();
    const auto width = test["width"].get<std::size_t>();
    ClassMeter at_once(test["width"]), row_by_row(test["width"]);
    at_once.add(logits, labels);
    row_by_row.add({}, {});
    for (std::size_t i = 0; i < labels.size(); ++i) {
      row_by_row.add(std::span(logits).subspan(i * width, width), std::span(labels).subspan(i, 1));
    }
    const Measures some = row_by_row.finish(), all = at_once.finish();
    EXPECT_EQ(some.rows, all.rows);
    EXPECT_EQ(some.log_loss, all.log_loss);
    EXPECT_EQ(some.roc_auc, all.roc_auc);
    EXPECT_EQ(some.average_precision, all.average_precision);
    EXPECT_EQ(some.expected_calibration_error, all.expected_calibration_error);
    EXPECT_EQ(some.macro_f1, all.macro_f1);
  }
}

TEST(Measures, OfNoRows) {
  const Measures binary = ClassMeter(1).finish(), classes = ClassMeter(3).finish();
  for (const Measures& none : {binary, classes, MultiLabelMeter(4).finish()}) {
    EXPECT_EQ(none.rows, 0);
    EXPECT_EQ(none.accuracy, 0);
    EXPECT_EQ(none.accuracy_interval.low, 0);
    EXPECT_EQ(none.accuracy_interval.high, 0);
    EXPECT_EQ(none.macro_f1, 0);
    EXPECT_EQ(none.micro_f1, 0);
    EXPECT_EQ(none.log_loss, 0);
    EXPECT_FALSE(none.roc_auc || none.average_precision || none.expected_calibration_error);
    EXPECT_TRUE(none.confusion.empty());
  }
  EXPECT_EQ(binary.classes.size(), 2u);
  EXPECT_EQ(classes.classes.size(), 3u);
  const RegressionMeasures none = RegressionMeter().finish();
  EXPECT_EQ(none.rows, 0);
  EXPECT_EQ(none.mean_squared_error, 0);
  EXPECT_EQ(none.mean_absolute_error, 0);
  EXPECT_FALSE(none.r2);
}

TEST(Measures, OneLogitIsTwoOfWhichTheFirstIsZero) {
  const std::vector<float> one = {2, -1, 0, 0.5f, -3}, two = {0, 2, 0, -1, 0, 0, 0, 0.5f, 0, -3};
  const std::vector<std::int32_t> labels = {1, 1, 0, 0, 0};
  ClassMeter meter(1), pairs(2);
  meter.add(one, labels);
  pairs.add(two, labels);
  const Measures measures = meter.finish(), same = pairs.finish();
  EXPECT_EQ(measures.classes[1].predicted, 2) << "a logit of 0 is not positive";
  EXPECT_EQ(same.classes[1].predicted, 2);
  EXPECT_EQ(measures.log_loss, same.log_loss);
  EXPECT_EQ(measures.roc_auc, same.roc_auc);
  EXPECT_EQ(measures.expected_calibration_error, same.expected_calibration_error);
}

TEST(Measures, OfEqualLogitsTheFirstIsPredicted) {
  ClassMeter meter(3);
  meter.add(std::vector<float>{1, 2, 2}, std::vector<std::int32_t>{2});
  const Measures measures = meter.finish();
  EXPECT_EQ(measures.classes[1].predicted, 1);
  EXPECT_EQ(measures.classes[2].predicted, 0);
}

TEST(Measures, ThresholdsAtTheEnds) {
  EXPECT_EQ(decision_logit(0.5), 0);
  const std::vector<float> logits = {-90, 90};
  const std::vector<std::int32_t> labels = {0, 1};
  ClassMeter always(1, 0), never(1, 1);
  always.add(logits, labels);
  never.add(logits, labels);
  EXPECT_EQ(always.finish().classes[1].predicted, 2);
  EXPECT_EQ(never.finish().classes[1].predicted, 0);
}

/// Nothing that is printed as -0.00 %, or more than 100.
TEST(Measures, WilsonIntervalIsOfShares) {
  for (std::int64_t rows = 1; rows < 200; ++rows) {
    EXPECT_GE(wilson_interval(0, rows).low, 0) << rows;
    EXPECT_LE(wilson_interval(rows, rows).high, 1) << rows;
  }
}

/// Probabilities that double rounds to 1 are not clipped, and not ties.
TEST(Measures, ExtremeLogitsKeepTheirLossAndOrder) {
  const std::vector<std::int32_t> labels = {0, 1};
  ClassMeter binary(1);
  binary.add(std::vector<float>{1000, 2000}, labels);
  EXPECT_DOUBLE_EQ(binary.finish().log_loss, 500);
  EXPECT_EQ(binary.finish().roc_auc, 1);
  ClassMeter classes(3);
  classes.add(std::vector<float>{1e30f, 0, 0, -1e30f, 0, 1e30f}, labels);
  EXPECT_FLOAT_EQ(static_cast<float>(classes.finish().log_loss), 0.5e30f);
  ClassMeter infinite(1);
  infinite.add(std::vector<float>{-kInfinity, kInfinity}, labels);
  EXPECT_EQ(infinite.finish().log_loss, 0);
  EXPECT_EQ(infinite.finish().roc_auc, 1);
}

TEST(Measures, OfWhatIsNoNumberTheLossIsNone) {
  const std::vector<std::int32_t> labels = {0, 1, 1, 0};
  ClassMeter binary(1), pairs(2), classes(3);
  binary.add(std::vector<float>{kNan, 1, kNan, 2}, labels);
  pairs.add(std::vector<float>{kInfinity, kInfinity, 1, 2, 3, kNan, 0, 0}, labels);
  classes.add(std::vector<float>{kNan, 1, 2, 1, kNan, 2, 0, 0, 0, 1, 1, 1}, labels);
  for (const ClassMeter* const meter : {&binary, &pairs, &classes}) {
    const Measures measures = meter->finish();
    EXPECT_TRUE(std::isnan(measures.log_loss));
    EXPECT_TRUE(std::isnan(*measures.expected_calibration_error));
    EXPECT_FALSE(measures.roc_auc || measures.average_precision);
    EXPECT_EQ(measures.rows, 4);
  }
}

/// A top probability of 1 / 3, which is 5 / 15, is not in the bin of 0.35; 0.5 and 0.525 are in one.
TEST(Measures, BinsEndWithTheirUpperEnd) {
  const double logit = std::log(0.35 / 0.325);
  ClassMeter apart(3), together(1);
  apart.add(std::vector<float>{0, 0, 0, static_cast<float>(logit), 0, 0}, std::vector<std::int32_t>{0, 1});
  EXPECT_NEAR(*apart.finish().expected_calibration_error, (2.0 / 3 + 0.35) / 2, 1e-7);
  together.add(std::vector<float>{0, static_cast<float>(std::log(0.525 / 0.475))}, std::vector<std::int32_t>{0, 0});
  EXPECT_NEAR(*together.finish().expected_calibration_error, (0.5 + 0.525 - 1) / 2, 1e-7);
}

/// Ten thousand classes: a matrix of them would take 800 MB.
TEST(Measures, OfManyClassesHoldWhatHasRows) {
  constexpr std::size_t kClasses = 10'000;
  ClassMeter meter(kClasses);
  std::vector<float> row(kClasses);
  for (const std::int32_t label : {0, 9'999, 9'999}) {
    row[9'999] += 1;
    meter.add(row, std::vector<std::int32_t>{label});
  }
  const Measures measures = meter.finish();
  ASSERT_EQ(measures.confusion.size(), 2u);
  EXPECT_EQ(measures.confusion[1].rows, 2);
  EXPECT_EQ(measures.classes[9'999].right, 2);
  EXPECT_DOUBLE_EQ(measures.macro_f1, 0.8 / 2) << "over the two classes that occur";
}

TEST(Measures, WhatDoesNotFitIsRefused) {
  ClassMeter binary(1), classes(3);
  const std::vector<float> three = {1, 2, 3};
  EXPECT_THROW(binary.add(three, std::vector<std::int32_t>{0, 1}), ContractError);
  EXPECT_THROW(binary.add(three, std::vector<std::int32_t>{0, 1, 2}), ContractError);
  EXPECT_THROW(classes.add(three, std::vector<std::int32_t>{3}), ContractError);
  EXPECT_THROW(classes.add(three, std::vector<std::int32_t>{-1}), ContractError);
  EXPECT_THROW(ClassMeter(0), ContractError);
  EXPECT_THROW(ClassMeter(3, 0.4), ContractError);
  EXPECT_THROW(ClassMeter(1, 1.5), ContractError);
  EXPECT_THROW(ClassMeter(1, std::nan("")), ContractError);
  EXPECT_THROW(MultiLabelMeter(0), ContractError);
  EXPECT_THROW(MultiLabelMeter(2, std::vector<double>{0.5}), ContractError);
  EXPECT_THROW(MultiLabelMeter(2).add(three, three), ContractError);
  EXPECT_THROW(MultiLabelMeter(3).add(three, three), ContractError);
  EXPECT_THROW(RegressionMeter().add(three, std::span(three).first(2)), ContractError);
}

}  // namespace
}  // namespace reel
