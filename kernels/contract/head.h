// What stands above the recurrent layers: pooling, dropout, the output layer and the loss.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/recurrence.h"
#include "kernels/philox.h"

namespace reel {

enum class Pool { kLast, kMean };

/// pooled[b] = h[lengths[b], b] (last) or the mean of h[1..lengths[b], b] (0 for an empty row), after dropout: an
/// element is kept and divided by 1 - dropout where random_uniform(dropout_key, b * H + j) >= dropout.
/// logits[b] = pooled[b] . fc_weight + fc_bias.
template <class Real>
struct HeadForward {
  static constexpr const char* kName = "head_forward";
  SequenceShape shape;
  std::span<const std::int32_t> lengths;  // [B]
  std::span<const Real> h;                // [T+1, B, H]
  Pool pool = Pool::kLast;
  float dropout = 0;
  RandomKey dropout_key{.stream = RandomStream::kDropout};
  std::span<const Real> fc_weight;  // [H]
  std::span<const Real> fc_bias;    // [1]
  std::span<Real> pooled;           // out [B, H]
  std::span<Real> logits;           // out [B]
};

/// What one batch measured, in backend memory.
struct BatchStats {
  double loss_sum = 0;   // sum of the rows' binary cross-entropies
  double correct = 0;    // rows whose (logit > 0) equals the label
  double grad_norm = 0;  // global norm before clipping by norm; written by ClipGradient
};

/// Binary cross-entropy on logits, max(x, 0) - x y + log(1 + exp(-|x|)), and the gradient of its mean over the batch
/// with respect to the output layer and the states. Dropout and pooling must be those of HeadForward.
template <class Real>
struct HeadBackward {
  static constexpr const char* kName = "head_backward";
  SequenceShape shape;
  std::span<const std::int32_t> labels;   // [B]
  std::span<const Real> logits;           // [B]
  std::span<BatchStats> stats;            // out [1]
  std::span<const std::int32_t> lengths;  // [B]
  std::span<const Real> pooled;           // [B, H]
  std::span<const Real> fc_weight;        // [H]
  Pool pool = Pool::kLast;
  float dropout = 0;
  RandomKey dropout_key{.stream = RandomStream::kDropout};
  std::span<Real> d_fc_weight;  // out [H]
  std::span<Real> d_fc_bias;    // out [1]
  /// out [B, H]: an OutputGradient's `last` (Pool::kLast), or its `every`: the pooled state's gradient divided by the
  /// row's length, 0 for an empty row.
  std::span<Real> d_state;
};

/// What HeadBackward wrote to d_state.
template <class Real>
OutputGradient<Real> output_gradient(Pool pool, std::span<const Real> d_state) {
  if (pool == Pool::kMean) return {.last = {}, .every = d_state};
  return {.last = d_state, .every = {}};
}

template <class Real>
void check_arguments(const HeadForward<Real>& op) {
  const auto [B, T, H] = op.shape;
  check_size(op.lengths, B, "lengths");
  check_size(op.h, (T + 1) * B * H, "h");
  check_size(op.fc_weight, H, "fc_weight");
  check_size(op.fc_bias, 1, "fc_bias");
  check_size(op.pooled, B * H, "pooled");
  check_size(op.logits, B, "logits");
  check_share(op.dropout, "dropout");
}

template <class Real>
void check_arguments(const HeadBackward<Real>& op) {
  const auto [B, T, H] = op.shape;
  check_size(op.labels, B, "labels");
  check_size(op.logits, B, "logits");
  check_size(op.stats, 1, "stats");
  check_share(op.dropout, "dropout");
  check_size(op.lengths, B, "lengths");
  check_size(op.pooled, B * H, "pooled");
  check_size(op.fc_weight, H, "fc_weight");
  check_size(op.d_fc_weight, H, "d_fc_weight");
  check_size(op.d_fc_bias, 1, "d_fc_bias");
  check_size(op.d_state, B * H, "d_state");
}

}  // namespace reel
