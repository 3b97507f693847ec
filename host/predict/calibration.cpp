#include "host/predict/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "host/predict/measures.h"
#include "kernels/check.h"

namespace reel {
namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Of the summed log loss, by b = 1 / T.
struct Derivatives {
  double first = 0, second = 0;
};

/// Of a label, 0 or 1, whose logit is z.
void add_label(double z, bool label, double b, Derivatives& sum) {
  const double against = sigmoid(label ? -b * z : b * z);  // the probability of the other label
  sum.first += label ? -z * against : z * against;
  sum.second += z * z * against * (1 - against);
}

/// Of a row of one class: the mean and the variance, over the softmax of b z, of how much larger than the label's the
/// logits are.
void add_class(std::span<const float> logits, std::int32_t label, double b, Derivatives& sum) {
  const double own = logits[static_cast<std::size_t>(label)], most = *std::ranges::max_element(logits);
  double weights = 0, distances = 0, squares = 0;
  for (const float logit : logits) {
    const double weight = std::exp(b * (logit - most)), distance = logit - own;
    weights += weight;
    distances += weight * distance;
    squares += weight * distance * distance;
  }
  const double mean = distances / weights;
  sum.first += mean;
  sum.second += squares / weights - mean * mean;
}

/// 1 / b at the least of a function that is convex in b: Newton's method, with a bisection where that leaves the
/// interval in which the first derivative changes its sign.
template <class F>
double least(const F& derivatives) {
  double low = 1 / kMaxTemperature, high = 1 / kMinTemperature;
  const double slope_low = derivatives(low).first, slope_high = derivatives(high).first;
  REEL_CHECK(std::isfinite(slope_low) && std::isfinite(slope_high), "logits that are no finite numbers");
  if (slope_low == 0 && slope_high == 0) return 1;
  if (slope_low >= 0) return kMaxTemperature;
  if (slope_high <= 0) return kMinTemperature;
  constexpr int kMostSteps = 100;
  constexpr double kTolerance = 1e-12;  // the step after it would be lost in rounding
  double b = 1;
  for (int step = 0; step < kMostSteps; ++step) {
    const Derivatives at = derivatives(b);
    if (at.first == 0) break;
    (at.first > 0 ? high : low) = b;
    double next = b - at.first / at.second;
    if (!(next > low && next < high)) next = (low + high) / 2;
    const bool converged = std::abs(next - b) <= kTolerance * b;
    b = next;
    if (converged) break;
  }
  return 1 / b;
}

double quality(ThresholdGoal goal, const ClassMeasures& positive, std::int64_t rows) {
  if (goal == ThresholdGoal::kF1) return positive.f1();
  return static_cast<double>(rows - positive.actual - positive.predicted + 2 * positive.right);  // right of both labels
}

}  // namespace

double fit_temperature(std::span<const float> logits, std::span<const std::int32_t> labels, std::int64_t width) {
  REEL_CHECK(width >= 1 && logits.size() == labels.size() * static_cast<std::size_t>(width),
             "{} logits, {} of a row, for {} labels", logits.size(), width, labels.size());
  const auto size = static_cast<std::size_t>(width);
  for (const std::int32_t label : labels) {
    REEL_CHECK(label >= 0 && label < std::max<std::int64_t>(width, 2), "label {} of {} logits", label, width);
  }
  return least([&](double b) {
    Derivatives sum;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (size == 1) {
        add_label(logits[i], labels[i] == 1, b, sum);
      } else {
        add_class(logits.subspan(i * size, size), labels[i], b, sum);
      }
    }
    return sum;
  });
}

double fit_temperature(std::span<const float> logits, std::span<const float> truth) {
  REEL_CHECK(logits.size() == truth.size(), "{} logits for {} truths", logits.size(), truth.size());
  for (const float is : truth) REEL_CHECK(is == 0 || is == 1, "{} in the truth of a label", is);
  return least([&](double b) {
    Derivatives sum;
    for (std::size_t i = 0; i < truth.size(); ++i) add_label(logits[i], truth[i] == 1, b, sum);
    return sum;
  });
}

double best_threshold(std::span<const float> logits, std::span<const std::int32_t> labels, ThresholdGoal goal) {
  REEL_CHECK(logits.size() == labels.size(), "{} logits for {} labels", logits.size(), labels.size());
  std::vector<std::pair<double, bool>> sorted(logits.size());
  const auto rows = std::ssize(sorted);
  ClassMeasures positive{.predicted = rows};
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    REEL_CHECK(labels[i] == 0 || labels[i] == 1, "label {}", labels[i]);
    REEL_CHECK(!std::isnan(logits[i]), "a logit of {}", logits[i]);
    sorted[i] = {logits[i], labels[i] == 1};
    positive.actual += labels[i];
  }
  positive.right = positive.actual;
  std::ranges::sort(sorted);
  double best = 0.5, best_quality = -1, below = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i <= sorted.size(); ++i) {  // a threshold below the rows from i on
    const double above = i < sorted.size() ? sorted[i].first : std::numeric_limits<double>::infinity();
    const double threshold = sigmoid(below) + (sigmoid(above) - sigmoid(below)) / 2;
    const double decision = decision_logit(threshold);
    // Not between logits that are the same, nor where rounding puts the decision elsewhere.
    if (decision >= below && (decision < above || i == sorted.size())) {
      const double found = quality(goal, positive, rows);
      const double closer = std::abs(best - 0.5) - std::abs(threshold - 0.5);
      if (found > best_quality || (found == best_quality && closer > 0)) {
        best = threshold;
        best_quality = found;
      }
    }
    if (i == sorted.size()) break;
    --positive.predicted;
    positive.right -= sorted[i].second;
    below = above;
  }
  return best;
}

}  // namespace reel
