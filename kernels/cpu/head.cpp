// Pooling, dropout, the output layer and the loss. Sums over the batch run in row order.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/dropout.h"
#include "kernels/cpu/losses.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/output_layer.h"

namespace reel::cpu {
namespace {

/// One direction's states of row b as one part of the pooled state; h: [T+1, B, H], argmax: [H] of a maximum.
template <class Real>
void pool_states(Pool pool, std::size_t length, std::span<const Real> h, std::size_t b, std::size_t B,
                 std::span<Real> pooled, std::span<std::int32_t> argmax) {
  const std::size_t H = pooled.size();
  const auto state = [&](std::size_t t) { return h.subspan((t * B + b) * H, H); };
  if (pool == Pool::kLast) {
    std::copy_n(state(length).begin(), H, pooled.begin());
    return;
  }
  std::fill(pooled.begin(), pooled.end(), Real{0});
  if (pool == Pool::kMax) {
    std::ranges::fill(argmax, length > 0 ? 0 : -1);
    if (length > 0) std::copy_n(state(1).begin(), H, pooled.begin());
    for (std::size_t t = 2; t <= length; ++t) {
      const std::span<const Real> row = state(t);
      for (std::size_t j = 0; j < H; ++j) {
        const bool above = row[j] > pooled[j] || row[j] != row[j];  // NaN stays
        pooled[j] = above ? row[j] : pooled[j];
        argmax[j] = above ? static_cast<std::int32_t>(t - 1) : argmax[j];
      }
    }
    return;
  }
  for (std::size_t t = 1; t <= length; ++t) {
    const std::span<const Real> row = state(t);
    for (std::size_t j = 0; j < H; ++j) pooled[j] += row[j];
  }
  if (length == 0) return;
  for (Real& value : pooled) value /= static_cast<Real>(length);
}

template <class Real>
void pool_row(const HeadForward<Real>& op, std::size_t b, std::span<Real> pooled) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const auto H = static_cast<std::size_t>(op.shape.hidden);
  const auto length = static_cast<std::size_t>(op.lengths[b]);
  std::size_t filled = 0;
  for (std::int64_t part = 0; part < pooled_parts(op.pool); ++part) {
    for (std::int64_t d = 0; d < op.directions(); ++d, filled += H) {
      const Pool pool = pooled_part(op.pool, part);
      const auto argmax = pool == Pool::kMax ? op.argmax.subspan((static_cast<std::size_t>(d) * B + b) * H, H)
                                             : std::span<std::int32_t>();
      pool_states(pool, length, op.states(d), b, B, pooled.subspan(filled, H), argmax);
    }
  }
}

/// What flows into the states of row b, of what flows into its pooled state [P].
template <class Real>
void unpool_row(const HeadBackward<Real>& op, std::size_t b, std::span<Real> d_pooled) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const auto H = static_cast<std::size_t>(op.shape.hidden);
  const auto D = static_cast<std::size_t>(op.directions);
  apply_dropout(op.dropout, key_at(op.clock, op.dropout_key), b * d_pooled.size(), d_pooled);
  const auto length = static_cast<Real>(op.lengths[b]);
  for (std::size_t block = 0; block < d_pooled.size() / H; ++block) {
    const std::span<const Real> from = d_pooled.subspan(block * H, H);
    const std::span<Real> to = op.d_state.subspan((block * B + b) * H, H);
    const bool mean = pooled_part(op.pool, static_cast<std::int64_t>(block / D)) == Pool::kMean;
    for (std::size_t j = 0; j < H; ++j) to[j] = !mean ? from[j] : length > 0 ? from[j] / length : Real{0};
  }
}

/// The rows' losses, and d_logits [B, C].
template <class Real>
BatchStats measure(CpuContext& context, const HeadBackward<Real>& op, std::span<Real> d_logits) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const auto C = static_cast<std::size_t>(op.outputs());
  const std::span<RowLoss> rows = context.arena.take<RowLoss>(B);
  for_each_row(context, B, [&](std::size_t b) { rows[b] = row_loss(op, b, d_logits.subspan(b * C, C)); });
  BatchStats stats;
  for (const RowLoss& row : rows) {
    stats.loss_sum += row.loss;
    stats.correct += row.correct;
  }
  if (op.loss == Loss::kSigmoid) stats.correct /= static_cast<double>(C);
  return stats;
}

}  // namespace

template <class Real>
void execute(CpuContext& context, const HeadForward<Real>& op) {
  const auto P = static_cast<std::size_t>(op.pooled_width());
  for_each_row(context, static_cast<std::size_t>(op.shape.batch), [&](std::size_t b) {
    const std::span<Real> pooled = op.pooled.subspan(b * P, P);
    pool_row(op, b, pooled);
    apply_dropout(op.dropout, key_at(op.clock, op.dropout_key), b * P, pooled);
    if (op.outputs() > 1) return;
    Real logit = 0;
    for (std::size_t j = 0; j < P; ++j) logit += pooled[j] * op.fc_weight[j];
    op.logits[b] = logit + op.fc_bias[0];
  });
  if (op.outputs() > 1) output_logits(context, op);
}

template <class Real>
void execute(CpuContext& context, const HeadBackward<Real>& op) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const auto P = static_cast<std::size_t>(op.pooled_width());
  const auto C = static_cast<std::size_t>(op.outputs());
  const std::span<Real> d_logits = context.arena.take<Real>(B * C);
  const std::span<Real> d_pooled = context.arena.take<Real>(B * P);
  op.stats[static_cast<std::size_t>(slot_at(op.clock))] = measure(context, op, d_logits);
  if (C > 1) output_gradient(context, op, d_logits, d_pooled);
  for_each_row(context, B, [&](std::size_t b) {
    const std::span<Real> row = d_pooled.subspan(b * P, P);
    for (std::size_t j = 0; C == 1 && j < P; ++j) row[j] = d_logits[b] * op.fc_weight[j];
    unpool_row(op, b, row);
  });
  std::ranges::fill(op.d_fc_bias, Real{0});
  for (std::size_t b = 0; b < B; ++b) {
    for (std::size_t c = 0; c < C; ++c) op.d_fc_bias[c] += d_logits[b * C + c];
  }
  if (C > 1) return;
  std::ranges::fill(op.d_fc_weight, Real{0});
  for (std::size_t b = 0; b < B; ++b) {
    for (std::size_t j = 0; j < P; ++j) op.d_fc_weight[j] += d_logits[b] * op.pooled[b * P + j];
  }
}

template void execute(CpuContext&, const HeadForward<float>&);
template void execute(CpuContext&, const HeadForward<double>&);
template void execute(CpuContext&, const HeadBackward<float>&);
template void execute(CpuContext&, const HeadBackward<double>&);

}  // namespace reel::cpu
