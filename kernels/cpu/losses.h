// Losses of a row of logits, and their gradients; formulas at HeadBackward.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/check.h"
#include "kernels/contract/head.h"

namespace reel::cpu {

struct RowLoss {
  double loss = 0;
  double correct = 0;  // of kSigmoid how many of C
};

template <class Real>
std::size_t first_largest(std::span<const Real> values) {
  return static_cast<std::size_t>(std::ranges::max_element(values) - values.begin());
}

/// Calls f(c, target) for the targets of row b that are not 0; of kSoftmax.
template <class Real, class F>
void for_each_target(const HeadBackward<Real>& op, std::size_t b, const F& f) {
  const auto C = static_cast<std::size_t>(op.outputs());
  if (op.targets.empty()) {
    const auto label = static_cast<std::size_t>(op.labels[b]);
    REEL_CHECK(label < C, "row {} has label {} of {}", b, op.labels[b], C);
    return f(label, 1.0f);
  }
  for (std::size_t c = 0; c < C; ++c) {
    if (op.targets[b * C + c] != 0) f(c, op.targets[b * C + c]);
  }
}

/// Of losses whose label, of one logit, is the target itself.
template <class Real>
double target_of(const HeadBackward<Real>& op, std::size_t b, std::size_t c) {
  if (op.targets.empty()) return op.labels[b];
  return static_cast<double>(op.targets[b * static_cast<std::size_t>(op.outputs()) + c]);
}

// Of row b, with logits `x` [C]: the loss before the row's weight, and to `d` [C] its gradient.

template <class Real>
RowLoss softmax_loss(const HeadBackward<Real>& op, std::size_t b, std::span<const Real> x, std::span<Real> d) {
  const std::size_t largest = first_largest(x);
  double sum = 0, targets = 0;
  for (std::size_t c = 0; c < x.size(); ++c) {
    d[c] = std::exp(x[c] - x[largest]);
    sum += static_cast<double>(d[c]);
  }
  RowLoss row;
  for_each_target(op, b, [&, log_sum = std::log(sum)](std::size_t c, float y) {
    row.loss += y * (log_sum - (static_cast<double>(x[c]) - static_cast<double>(x[largest])));
    targets += static_cast<double>(y);
  });
  for (Real& value : d) value *= static_cast<Real>(targets / sum);
  for_each_target(op, b, [&](std::size_t c, float y) { d[c] -= static_cast<Real>(y); });
  const std::size_t right = op.targets.empty() ? static_cast<std::size_t>(op.labels[b])
                                               : first_largest(op.targets.subspan(b * x.size(), x.size()));
  row.correct = largest == right ? 1 : 0;
  return row;
}

template <class Real>
RowLoss sigmoid_loss(const HeadBackward<Real>& op, std::size_t b, std::span<const Real> x, std::span<Real> d) {
  RowLoss row;
  for (std::size_t c = 0; c < x.size(); ++c) {
    const double y = target_of(op, b, c), w = op.positive_weights.empty() ? 1 : op.positive_weights[c];
    const double k = 1 + (w - 1) * y, logit = x[c];
    row.loss += k * std::max(logit, 0.0) - w * y * logit + k * std::log1p(std::exp(-std::abs(logit)));
    row.correct += (logit > 0) == (y > 0.5) ? 1 : 0;
    d[c] = static_cast<Real>(k) * (Real{1} / (Real{1} + std::exp(-x[c]))) - static_cast<Real>(w * y);
  }
  return row;
}

template <class Real>
RowLoss squared_loss(const HeadBackward<Real>& op, std::size_t b, std::span<const Real> x, std::span<Real> d) {
  RowLoss row;
  for (std::size_t c = 0; c < x.size(); ++c) {
    const double difference = static_cast<double>(x[c]) - target_of(op, b, c);
    row.loss += difference * difference;
    d[c] = static_cast<Real>(2 * difference);
  }
  return row;
}

/// Of row b, times its weight; `d_logits` [C]: the gradient of the mean over the batch.
template <class Real>
RowLoss row_loss(const HeadBackward<Real>& op, std::size_t b, std::span<Real> d_logits) {
  const std::size_t C = d_logits.size();
  const std::span<const Real> x = op.logits.subspan(b * C, C);
  RowLoss row = op.loss == Loss::kSoftmax   ? softmax_loss(op, b, x, d_logits)
                : op.loss == Loss::kSigmoid ? sigmoid_loss(op, b, x, d_logits)
                                            : squared_loss(op, b, x, d_logits);
  const float weight = op.weights.empty() ? 1.0f : op.weights[b];
  const std::int64_t terms = op.loss == Loss::kSoftmax ? 1 : op.outputs();  // that are averaged
  row.loss = row.loss * weight / static_cast<double>(terms);
  for (Real& d : d_logits) d = d * static_cast<Real>(weight) / static_cast<Real>(op.shape.batch * terms);
  return row;
}

}  // namespace reel::cpu
