// Pooling, dropout, the output layer and the loss. Sums over the batch run in row order.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/uniform_sequence.h"

namespace reel::cpu {
namespace {

constexpr std::size_t kRows = 8;  // batch rows a task handles

template <class F>
void for_each_row(CpuContext& context, std::size_t batch, const F& f) {
  context.pool.run((batch + kRows - 1) / kRows, [&](std::size_t task) {
    for (std::size_t b = task * kRows; b < std::min(batch, (task + 1) * kRows); ++b) f(b);
  });
}

/// Multiplies by 0 or 1 / (1 - dropout).
template <class Real>
void apply_dropout(float dropout, const RandomKey& key, std::size_t b, std::span<Real> row) {
  if (dropout <= 0) return;
  const Real scale = Real{1} / (Real{1} - static_cast<Real>(dropout));
  UniformSequence uniform(key);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] *= uniform.at(b * row.size() + j) >= dropout ? scale : Real{0};
}

template <class Real>
void pool_row(const HeadForward<Real>& args, std::size_t b, std::span<Real> pooled) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const std::size_t H = pooled.size();
  const auto length = static_cast<std::size_t>(args.lengths[b]);
  const auto h = [&](std::size_t t) { return args.h.subspan((t * B + b) * H, H); };
  if (args.pool == Pool::kLast) {
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
void head_forward(CpuContext& context, const HeadForward<Real>& args) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  for_each_row(context, B, [&](std::size_t b) {
    const std::span<Real> pooled = args.pooled.subspan(b * H, H);
    pool_row(args, b, pooled);
    apply_dropout(args.dropout, args.dropout_key, b, pooled);
    Real logit = 0;
    for (std::size_t j = 0; j < H; ++j) logit += pooled[j] * args.fc_weight[j];
    args.logits[b] = logit + args.fc_bias[0];
  });
}

template <class Real>
void head_backward(CpuContext& context, const HeadBackward<Real>& args) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  double loss = 0;
  double correct = 0;
  for (std::size_t b = 0; b < B; ++b) {
    const auto x = static_cast<double>(args.logits[b]);
    loss += std::max(x, 0.0) - x * args.labels[b] + std::log1p(std::exp(-std::abs(x)));
    correct += (x > 0) == (args.labels[b] != 0) ? 1 : 0;
  }
  args.stats[0] = {.loss_sum = loss, .correct = correct, .grad_norm = 0};
  if (args.d_pooled.empty()) return;

  context.arena.reset();
  const std::span<Real> d_logits = context.arena.take<Real>(B);
  for_each_row(context, B, [&](std::size_t b) {
    const Real probability = Real{1} / (Real{1} + std::exp(-args.logits[b]));
    d_logits[b] = (probability - static_cast<Real>(args.labels[b])) / static_cast<Real>(B);
    const std::span<Real> d_pooled = args.d_pooled.subspan(b * H, H);
    for (std::size_t j = 0; j < H; ++j) d_pooled[j] = d_logits[b] * args.fc_weight[j];
    apply_dropout(args.dropout, args.dropout_key, b, d_pooled);
  });
  std::fill(args.d_fc_weight.begin(), args.d_fc_weight.end(), Real{0});
  args.d_fc_bias[0] = 0;
  for (std::size_t b = 0; b < B; ++b) {
    for (std::size_t j = 0; j < H; ++j) args.d_fc_weight[j] += d_logits[b] * args.pooled[b * H + j];
    args.d_fc_bias[0] += d_logits[b];
  }
}

template void head_forward(CpuContext&, const HeadForward<float>&);
template void head_forward(CpuContext&, const HeadForward<double>&);
template void head_backward(CpuContext&, const HeadBackward<float>&);
template void head_backward(CpuContext&, const HeadBackward<double>&);

}  // namespace reel::cpu
