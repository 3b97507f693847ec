#include "host/predict/measures.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "kernels/check.h"

namespace reel {
namespace {

constexpr double kNormal975 = 1.959963984540054;  // 97.5 % quantile of N(0, 1)

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

/// log(1 + exp(x)): the negative log-likelihood of a label against which the logit is x.
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// Calls f(negatives, positives) for each different number of two sorted lists, in their order.
template <class F>
void for_each_tie(std::span<const double> negative, std::span<const double> positive, auto before, const F& f) {
  const auto take = [&](std::span<const double>& list, double number) {
    const auto end = std::ranges::find_if(list, [&](double other) { return before(number, other); });
    const auto taken = end - list.begin();
    list = list.subspan(static_cast<std::size_t>(taken));
    return std::int64_t{taken};
  };
  while (!negative.empty() || !positive.empty()) {
    const bool from_negative = positive.empty() || (!negative.empty() && before(negative[0], positive[0]));
    const double number = from_negative ? negative[0] : positive[0];
    const std::int64_t negatives = take(negative, number);
    f(negatives, take(positive, number));
  }
}

/// The share of pairs of a negative and a positive in which the positive is the higher; ties count half.
double area_under_roc(std::span<const double> negative, std::span<const double> positive) {
  std::int64_t halves = 0, below = 0;
  for_each_tie(negative, positive, std::less<>(), [&](std::int64_t negatives, std::int64_t positives) {
    halves += positives * (2 * below + negatives);
    below += negatives;
  });
  return static_cast<double>(halves) / 2 / static_cast<double>(negative.size()) / static_cast<double>(positive.size());
}

Interval hanley_mcneil_interval(double area, std::size_t negatives, std::size_t positives) {
  const auto n = static_cast<double>(negatives), p = static_cast<double>(positives);
  const double square = area * area, q1 = area / (2 - area), q2 = 2 * square / (1 + area);
  const double variance = (area * (1 - area) + (p - 1) * (q1 - square) + (n - 1) * (q2 - square)) / (n * p);
  const double half = kNormal975 * std::sqrt(std::max(variance, 0.0));
  return {.low = std::max(area - half, 0.0), .high = std::min(area + half, 1.0)};
}

/// The sum of the steps of recall, from the highest number down, times the precision after the step. Lists are sorted
/// downwards.
double precision_of_steps(std::span<const double> negative, std::span<const double> positive) {
  if (positive.empty()) return 0;
  double sum = 0;
  std::int64_t called = 0, right = 0;
  for_each_tie(negative, positive, std::greater<>(), [&](std::int64_t negatives, std::int64_t positives) {
    right += positives;
    called += negatives + positives;
    sum += static_cast<double>(positives) * ratio(right, called);
  });
  return sum / static_cast<double>(positive.size());
}

void rank(std::vector<double> negative, std::vector<double> positive, Measures& measures) {
  std::ranges::sort(negative);
  std::ranges::sort(positive);
  if (!negative.empty() && !positive.empty()) {
    measures.roc_auc = area_under_roc(negative, positive);
    measures.roc_auc_interval = hanley_mcneil_interval(*measures.roc_auc, negative.size(), positive.size());
  }
  std::ranges::reverse(negative);
  std::ranges::reverse(positive);
  measures.average_precision = precision_of_steps(negative, positive);
}

/// F1 over the classes that `counts` chooses, and over all their rows.
void average(const auto& counts, Measures& measures) {
  std::int64_t right = 0, called = 0, counted = 0;
  double sum = 0;
  for (const ClassMeasures& c : measures.classes) {
    right += c.right;
    called += c.actual + c.predicted;
    sum += c.f1();
    counted += counts(c);
  }
  measures.macro_f1 = counted == 0 ? 0 : sum / static_cast<double>(counted);
  measures.micro_f1 = ratio(2 * right, called);
}

std::size_t positive_width(std::int64_t width) {
  REEL_CHECK(width >= 1, "{} logits of a row", width);
  return static_cast<std::size_t>(width);
}

}  // namespace

Interval wilson_interval(std::int64_t right, std::int64_t rows) {
  if (rows == 0) return {};
  constexpr double z = kNormal975;
  const auto n = static_cast<double>(rows);
  const double p = ratio(right, rows), scale = 1 + z * z / n, middle = p + z * z / (2 * n);
  const double half = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {.low = std::max((middle - half) / scale, 0.0), .high = std::min((middle + half) / scale, 1.0)};  // rounded
}

double decision_logit(double threshold) {
  REEL_CHECK(threshold >= 0 && threshold <= 1, "a threshold of {}", threshold);
  return std::log(threshold / (1 - threshold));
}

double ClassMeasures::precision() const { return ratio(right, predicted); }
double ClassMeasures::recall() const { return ratio(right, actual); }
double ClassMeasures::f1() const { return ratio(2 * right, actual + predicted); }

ClassMeter::ClassMeter(std::int64_t width, double threshold)
    : width_(positive_width(width)), decision_(decision_logit(threshold)), classes_(std::max<std::size_t>(width_, 2)) {
  REEL_CHECK(width <= 2 || threshold == 0.5, "a threshold of {} for {} classes", threshold, width);
}

void ClassMeter::add(std::span<const float> logits, std::span<const std::int32_t> labels) {
  REEL_CHECK(logits.size() == labels.size() * width_, "{} logits, {} of a row, for {} labels", logits.size(), width_,
             labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::span<const float> row = logits.subspan(i * width_, width_);
    REEL_CHECK(labels[i] >= 0 && static_cast<std::size_t>(labels[i]) < classes_.size(), "label {} of {} classes",
               labels[i], classes_.size());
    if (classes_.size() > 2) {
      add_row(row, labels[i]);
    } else {
      add_binary(width_ == 1 ? double{row[0]} : double{row[1]} - double{row[0]}, labels[i]);
    }
  }
}

void ClassMeter::add_binary(double logit, std::int32_t label) {
  loss_ += softplus(label == 1 ? -logit : logit);
  (label == 1 ? positive_ : negative_).push_back(logit);
  bin(1 / (1 + std::exp(-std::abs(logit))), (logit > 0) == (label == 1));
  count(logit > decision_, label);
}

void ClassMeter::add_row(std::span<const float> logits, std::int32_t label) {
  const auto top = std::ranges::max_element(logits);
  const double most = *top;
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  loss_ += std::log(sum) - (logits[static_cast<std::size_t>(label)] - most);
  const auto predicted = static_cast<std::int32_t>(top - logits.begin());
  bin(1 / sum, predicted == label);
  count(predicted, label);
}

void ClassMeter::count(std::int32_t predicted, std::int32_t label) {
  ++rows_;
  ++classes_[static_cast<std::size_t>(label)].actual;
  ++classes_[static_cast<std::size_t>(predicted)].predicted;
  if (predicted == label) ++classes_[static_cast<std::size_t>(label)].right;
  ++confusion_[{label, predicted}];
}

void ClassMeter::bin(double probability, bool right) {
  // NaN is in the first.
  const double last = probability > 0 ? std::ceil(probability * kBins) - 1 : 0;
  Bin& chosen = bins_[std::min(static_cast<std::size_t>(last), kBins - 1)];
  chosen.right += right;
  chosen.probability += probability;
}

Measures ClassMeter::finish() const {
  Measures measures{.rows = rows_, .classes = classes_};
  for (const auto& [pair, rows] : confusion_) measures.confusion.push_back({pair.first, pair.second, rows});
  average([](const ClassMeasures& c) { return c.actual + c.predicted > 0; }, measures);
  if (rows_ == 0) return measures;
  std::int64_t right = 0;
  for (const ClassMeasures& c : classes_) right += c.right;
  measures.accuracy = ratio(right, rows_);
  measures.accuracy_interval = wilson_interval(right, rows_);
  measures.log_loss = loss_ / static_cast<double>(rows_);
  double gaps = 0;
  for (const Bin& b : bins_) gaps += std::abs(static_cast<double>(b.right) - b.probability);
  measures.expected_calibration_error = gaps / static_cast<double>(rows_);
  // A loss of NaN: there are logits that have no order.
  if (classes_.size() == 2 && !std::isnan(loss_)) rank(negative_, positive_, measures);
  return measures;
}

MultiLabelMeter::MultiLabelMeter(std::int64_t labels, std::span<const double> thresholds)
    : decisions_(positive_width(labels)), labels_(decisions_.size()) {
  REEL_CHECK(thresholds.empty() || thresholds.size() == labels_.size(), "{} thresholds for {} labels",
             thresholds.size(), labels);
  std::ranges::transform(thresholds, decisions_.begin(), decision_logit);
}

void MultiLabelMeter::add(std::span<const float> logits, std::span<const float> truth) {
  const std::size_t width = labels_.size();
  REEL_CHECK(logits.size() == truth.size() && logits.size() % width == 0, "{} logits for {} truths of {} labels",
             logits.size(), truth.size(), width);
  for (std::size_t row = 0; row < logits.size(); row += width) {
    bool all_right = true;
    for (std::size_t c = 0; c < width; ++c) {
      const double logit = logits[row + c];
      const float is = truth[row + c];
      REEL_CHECK(is == 0 || is == 1, "{} in the truth of a label", is);
      const bool actual = is == 1, predicted = logit > decisions_[c];
      loss_ += softplus(actual ? -logit : logit);
      labels_[c].actual += actual;
      labels_[c].predicted += predicted;
      labels_[c].right += actual && predicted;
      all_right &= actual == predicted;
    }
    ++rows_;
    right_ += all_right;
  }
}

Measures MultiLabelMeter::finish() const {
  Measures measures{.multi_label = true, .rows = rows_, .classes = labels_};
  average([](const ClassMeasures&) { return true; }, measures);
  measures.accuracy = ratio(right_, rows_);
  measures.accuracy_interval = wilson_interval(right_, rows_);
  if (rows_ > 0) measures.log_loss = loss_ / static_cast<double>(rows_) / static_cast<double>(labels_.size());
  return measures;
}

void RegressionMeter::add(std::span<const float> predictions, std::span<const float> truth) {
  REEL_CHECK(predictions.size() == truth.size(), "{} predictions for {} truths", predictions.size(), truth.size());
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const double y = truth[i], error = predictions[i] - y;
    squares_ += error * error;
    absolutes_ += std::abs(error);
    // Welford, Technometrics 4 (1962), 419-420.
    const double distance = y - mean_;
    mean_ += distance / static_cast<double>(++rows_);
    spread_ += distance * (y - mean_);
  }
}

RegressionMeasures RegressionMeter::finish() const {
  RegressionMeasures measures{.rows = rows_};
  if (rows_ == 0) return measures;
  measures.mean_squared_error = squares_ / static_cast<double>(rows_);
  measures.mean_absolute_error = absolutes_ / static_cast<double>(rows_);
  if (rows_ > 1) measures.r2 = spread_ > 0 ? 1 - squares_ / spread_ : squares_ == 0 ? 1.0 : 0.0;
  return measures;
}

}  // namespace reel
