// Pooling, dropout, the output layer and the loss. Sums over the batch run in row order.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/uniform_sequence.h"

namespace reel::cpu {
namespace {

/// Multiplies by 0 or 1 / (1 - dropout).
template <class Real>
void apply_dropout(float dropout, const RandomKey& key, std::size_t b, std::span<Real> row) {
  if (dropout <= 0) return;
  const Real scale = Real{1} / (Real{1} - static_cast<Real>(dropout));
  UniformSequence uniform(key);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] *= uniform.at(b * row.size() + j) >= dropout ? scale : Real{0};
}

template <class Real>
void pool_row(const HeadForward<Real>& op, std::size_t b, std::span<Real> pooled) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const std::size_t H = pooled.size();
  const auto length = static_cast<std::size_t>(op.lengths[b]);
  const auto h = [&](std::size_t t) { return op.h.subspan((t * B + b) * H, H); };
  if (op.pool == Pool::kLast) {
    std::copy_n(h(length).begin(), H, pooled.begin());
    return;
  }
  std::fill(pooled.begin(), pooled.end(), Real{0});
  for (std::size_t t = 1; t <= length; ++t) {
    const std::span<const Real> row = h(t);
    for (std::size_t j = 0; j < H; ++j) pooled[j] += row[j];
  }
  if (length == 0) return;
  for (Real& value : pooled) value /= static_cast<Real>(length);
}

}  // namespace

template <class Real>
void execute(CpuContext& context, const HeadForward<Real>& op) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const auto H = static_cast<std::size_t>(op.shape.hidden);
  for_each_row(context, B, [&](std::size_t b) {
    const std::span<Real> pooled = op.pooled.subspan(b * H, H);
    pool_row(op, b, pooled);
    apply_dropout(op.dropout, op.dropout_key, b, pooled);
    Real logit = 0;
    for (std::size_t j = 0; j < H; ++j) logit += pooled[j] * op.fc_weight[j];
    op.logits[b] = logit + op.fc_bias[0];
  });
}

template <class Real>
void execute(CpuContext& context, const HeadBackward<Real>& op) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const auto H = static_cast<std::size_t>(op.shape.hidden);
  double loss = 0;
  double correct = 0;
  for (std::size_t b = 0; b < B; ++b) {
    const auto x = static_cast<double>(op.logits[b]);
    loss += std::max(x, 0.0) - x * op.labels[b] + std::log1p(std::exp(-std::abs(x)));
    correct += (x > 0) == (op.labels[b] != 0) ? 1 : 0;
  }
  op.stats[0] = {.loss_sum = loss, .correct = correct, .grad_norm = 0};
  const std::span<Real> d_logits = context.arena.take<Real>(B);
  for_each_row(context, B, [&](std::size_t b) {
    const Real probability = Real{1} / (Real{1} + std::exp(-op.logits[b]));
    d_logits[b] = (probability - static_cast<Real>(op.labels[b])) / static_cast<Real>(B);
    const std::span<Real> d_state = op.d_state.subspan(b * H, H);
    for (std::size_t j = 0; j < H; ++j) d_state[j] = d_logits[b] * op.fc_weight[j];
    apply_dropout(op.dropout, op.dropout_key, b, d_state);
    if (op.pool != Pool::kMean) return;
    const auto length = static_cast<Real>(op.lengths[b]);
    for (Real& value : d_state) value = length > 0 ? value / length : Real{0};
  });
  std::fill(op.d_fc_weight.begin(), op.d_fc_weight.end(), Real{0});
  op.d_fc_bias[0] = 0;
  for (std::size_t b = 0; b < B; ++b) {
    for (std::size_t j = 0; j < H; ++j) op.d_fc_weight[j] += d_logits[b] * op.pooled[b * H + j];
    op.d_fc_bias[0] += d_logits[b];
  }
}

template void execute(CpuContext&, const HeadForward<float>&);
template void execute(CpuContext&, const HeadForward<double>&);
template void execute(CpuContext&, const HeadBackward<float>&);
template void execute(CpuContext&, const HeadBackward<double>&);

}  // namespace reel::cpu
