// Losses of a row of logits, and their gradients; formulas at HeadBackward.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "kernels/check.h"
#include "kernels/contract/head.h"

namespace reel::cpu {

struct RowLoss {
  double loss = 0;
  double correct = 0;  // of kSigmoid how many of C
};

/// The targets of row b.
template <class Real>
class RowTargets {
 public:
  RowTargets(const HeadBackward<Real>& op, std::size_t b) : one_hot_(op.loss == Loss::kSoftmax) {
    const auto C = static_cast<std::size_t>(op.outputs());
    if (op.labels.empty()) {
      values_ = op.targets.subspan(b * C, C);
    } else {
      label_ = op.labels[b];
      REEL_CHECK(!one_hot_ || static_cast<std::size_t>(label_) < C, "row {} has label {} of {}", b, label_, C);
    }
  }
  float operator[](std::size_t c) const {
    if (!values_.empty()) return values_[c];
    return static_cast<float>(!one_hot_ ? label_ : static_cast<std::size_t>(label_) == c ? 1 : 0);
  }
  /// The label, or the first largest target.
  std::size_t largest() const {
    if (values_.empty()) return static_cast<std::size_t>(label_);
    return static_cast<std::size_t>(std::ranges::max_element(values_) - values_.begin());
  }

 private:
  std::span<const float> values_;
  std::int32_t label_ = 0;
  bool one_hot_;
};

/// `d` [C]: what the loss gives of the gradient of each logit, before weights and means.
template <class Real>
RowLoss softmax_loss(const RowTargets<Real>& y, std::span<const Real> x, std::span<Real> d) {
  const std::size_t largest = static_cast<std::size_t>(std::ranges::max_element(x) - x.begin());
  double sum = 0, targets = 0;
  for (std::size_t c = 0; c < x.size(); ++c) {
    d[c] = std::exp(x[c] - x[largest]);
    sum += static_cast<double>(d[c]);
    targets += static_cast<double>(y[c]);
  }
  RowLoss row{.correct = largest == y.largest() ? 1.0 : 0.0};
  const double log_sum = std::log(sum);
  const Real scale = static_cast<Real>(targets / sum);
  for (std::size_t c = 0; c < x.size(); ++c) {
    const float target = y[c];
    // A product with 0 would turn an infinite logit into no number.
    if (target != 0) row.loss += target * (log_sum - (static_cast<double>(x[c]) - static_cast<double>(x[largest])));
    d[c] = d[c] * scale - static_cast<Real>(target);
  }
  return row;
}

template <class Real>
RowLoss sigmoid_loss(const RowTargets<Real>& y, std::span<const float> positive_weights, std::span<const Real> logits,
                     std::span<Real> d) {
  RowLoss row;
  for (std::size_t c = 0; c < logits.size(); ++c) {
    const float target = y[c], w = positive_weights.empty() ? 1.0f : positive_weights[c];
    const double positive = static_cast<double>(w) * target, k = 1 + (static_cast<double>(w) - 1) * target;
    const auto x = static_cast<double>(logits[c]);
    row.loss += k * std::max(x, 0.0) - positive * x + k * std::log1p(std::exp(-std::abs(x)));
    row.correct += (x > 0) == (target > 0.5f) ? 1 : 0;
    const Real probability = Real{1} / (Real{1} + std::exp(-logits[c]));
    d[c] = static_cast<Real>(k) * probability - static_cast<Real>(positive);
  }
  return row;
}

template <class Real>
RowLoss squared_loss(const RowTargets<Real>& y, std::span<const Real> x, std::span<Real> d) {
  RowLoss row;
  for (std::size_t c = 0; c < x.size(); ++c) {
    const double difference = static_cast<double>(x[c]) - static_cast<double>(y[c]);
    row.loss += difference * difference;
    d[c] = static_cast<Real>(2 * difference);
  }
  return row;
}

/// Of row b, times its weight; `d_logits` [C]: the gradient of the mean over the batch.
template <class Real>
RowLoss row_loss(const HeadBackward<Real>& op, std::size_t b, std::span<Real> d_logits) {
  const std::size_t C = d_logits.size();
  const RowTargets<Real> targets(op, b);
  const std::span<const Real> logits = op.logits.subspan(b * C, C);
  RowLoss row = op.loss == Loss::kSoftmax   ? softmax_loss<Real>(targets, logits, d_logits)
                : op.loss == Loss::kSigmoid ? sigmoid_loss<Real>(targets, op.positive_weights, logits, d_logits)
                                            : squared_loss<Real>(targets, logits, d_logits);
  const float weight = op.weights.empty() ? 1.0f : op.weights[b];
  const std::int64_t terms = op.loss == Loss::kSoftmax ? 1 : op.outputs();  // that are averaged
  row.loss = row.loss * weight / static_cast<double>(terms);
  for (Real& d : d_logits) d = d * static_cast<Real>(weight) / static_cast<Real>(op.shape.batch * terms);
  return row;
}

}  // namespace reel::cpu
