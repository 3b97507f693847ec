// How good predictions are: what is computed from logits and the truth, some rows at a time. A measure that
// scikit-learn has too is scikit-learn's, with zero_division=0; of no rows all are 0 or absent.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace reel {

struct Interval {
  double low = 0, high = 0;
};

/// 95 % Wilson score interval of right / rows; {0, 0} of no rows: Wilson, JASA 22 (1927), 209-212.
Interval wilson_interval(std::int64_t right, std::int64_t rows);

/// The logit whose sigmoid is `threshold`, in [0, 1]; of 0.5 it is exactly 0.
double decision_logit(double threshold);

/// Of a class, or of a label where a row may have several.
struct ClassMeasures {
  std::int64_t actual = 0, predicted = 0, right = 0;  // rows

  double precision() const;  // right / predicted; 0 when never predicted
  double recall() const;     // right / actual; 0 without such rows
  double f1() const;         // 2 right / (actual + predicted); 0 when there is neither
};

/// Rows of one class that were taken for one class, which may be the same.
struct Confusion {
  std::int32_t actual = 0, predicted = 0;
  std::int64_t rows = 0;
};

/// Of a classifier.
struct Measures {
  bool multi_label = false;
  std::int64_t rows = 0;
  double accuracy = 0;  // multi-label: the share of rows of which every label is right
  Interval accuracy_interval;
  double macro_f1 = 0;  // mean over the classes that are actual or predicted; multi-label: over all labels
  double micro_f1 = 0;  // from the sums over the classes, or labels; single-label: the accuracy
  double log_loss = 0;  // mean negative log-likelihood in nats, not clipped; multi-label: mean over rows and labels
  // Of the second of two classes. Rows are ranked by their logits, which differ where probabilities are rounded to 1.
  std::optional<double> roc_auc;             // absent where all rows have one class
  std::optional<Interval> roc_auc_interval;  // 95 %: Hanley and McNeil, Radiology 143 (1982), 29-36
  std::optional<double> average_precision;   // 0 where no row is of the second class
  /// Single-label: 15 equal bins ((m - 1) / 15, m / 15] of the top probability, whatever the decision threshold: Guo et
  /// al., ICML 2017, equation 3.
  std::optional<double> expected_calibration_error;
  std::vector<ClassMeasures> classes;  // [C]
  std::vector<Confusion> confusion;    // single-label: those with rows, by actual class, then by predicted
};

/// Measures predictions of one class a row. What is added at once matters to no bit. Holds a number for each row of two
/// classes, and for each pair of an actual and a predicted class that has rows.
class ClassMeter {
 public:
  /// `width` [1, ...): logits of a row. Two or more: one of each of C classes, whose softmax is the classes'
  /// probabilities. One: of two classes, and its sigmoid is the second's probability. Of two classes the second is
  /// predicted where its probability is above `threshold`; of more, the first of those with the largest logit.
  explicit ClassMeter(std::int64_t width, double threshold = 0.5);

  /// logits [N, width]; labels [N] in [0, C). Logits that are no finite numbers may make the log loss NaN.
  void add(std::span<const float> logits, std::span<const std::int32_t> labels);
  Measures finish() const;

 private:
  static constexpr std::size_t kBins = 15;
  struct Bin {
    std::int64_t right = 0;
    double probability = 0;
  };

  void add_binary(double logit, std::int32_t label);
  void add_row(std::span<const float> logits, std::int32_t label);
  void count(std::int32_t predicted, std::int32_t label);
  void bin(double probability, bool right);

  std::size_t width_;
  double decision_;
  std::int64_t rows_ = 0;
  double loss_ = 0;
  std::vector<ClassMeasures> classes_;
  std::map<std::pair<std::int32_t, std::int32_t>, std::int64_t> confusion_;  // actual, predicted
  std::vector<double> negative_, positive_;                                  // logits of the rows of two classes
  std::array<Bin, kBins> bins_{};
};

/// Measures predictions of C labels a row, each of which a row has or has not. Holds nothing for a row.
class MultiLabelMeter {
 public:
  /// A label is predicted where the sigmoid of its logit is above its threshold: thresholds [labels], or none: 0.5.
  explicit MultiLabelMeter(std::int64_t labels, std::span<const double> thresholds = {});

  /// logits [N, C], truth [N, C] of 0 and 1.
  void add(std::span<const float> logits, std::span<const float> truth);
  Measures finish() const;

 private:
  std::vector<double> decisions_;
  std::int64_t rows_ = 0, right_ = 0;
  double loss_ = 0;
  std::vector<ClassMeasures> labels_;
};

struct RegressionMeasures {
  std::int64_t rows = 0;
  double mean_squared_error = 0, mean_absolute_error = 0;
  /// Of a truth that is one number, 1 where all predictions are it, else 0. Absent of fewer than two rows.
  std::optional<double> r2;
};

class RegressionMeter {
 public:
  /// predictions [N], truth [N]
  void add(std::span<const float> predictions, std::span<const float> truth);
  RegressionMeasures finish() const;

 private:
  std::int64_t rows_ = 0;
  double squares_ = 0, absolutes_ = 0;
  double mean_ = 0, spread_ = 0;  // of the truth; squared distances from the mean
};

}  // namespace reel
