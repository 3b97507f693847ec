// What stands above the recurrent layers: pooling, dropout, the output layer and the loss.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/clock.h"
#include "kernels/contract/recurrence.h"
#include "kernels/philox.h"

namespace reel {

enum class Pool {
  kLast,
  kMean,
  kMax,
  kConcat,  // last, mean and max, in this order
};

/// How many pooled states stand behind each other.
constexpr std::int64_t pooled_parts(Pool pool) { return pool == Pool::kConcat ? 3 : 1; }
/// Which of them part `part` is.
constexpr Pool pooled_part(Pool pool, std::int64_t part) {
  constexpr Pool kParts[] = {Pool::kLast, Pool::kMean, Pool::kMax};
  return pool == Pool::kConcat ? kParts[part] : pool;
}
constexpr bool has_maximum(Pool pool) { return pool == Pool::kMax || pool == Pool::kConcat; }

/// Of a row of logits x [C] and its targets y [C]; a label stands for the targets that are 1 at it and 0 elsewhere, or,
/// where there is one logit, for the target itself.
enum class Loss {
  kSigmoid,  // binary cross-entropy of every logit, max(x, 0) - x y + log(1 + exp(-|x|)): the mean over C
  kSoftmax,  // cross-entropy with the softmax, the sum over c of y_c (log(sum exp(x)) - x_c)
  kSquared,  // (x - y)^2, the mean over C
};

/// A part of pooled[b] is h[lengths[b], b] (last), or the mean or the maximum of h[1..lengths[b], b] (0 for an empty
/// row); of two directions, the first's and then the reverse one's, which has gone through the row from its end. After
/// dropout: an element is kept and divided by 1 - dropout where random_uniform(dropout_key, b * P + j) >= dropout.
/// logits[b] = fc_weight . pooled[b] + fc_bias. D directions, P = pooled_parts(pool) * D * H, C outputs.
template <class Real>
struct HeadForward {
  static constexpr const char* kName = "head_forward";
  SequenceShape shape;                    // of one direction
  std::span<const std::int32_t> lengths;  // [B]
  std::span<const Real> h;                // [T+1, B, H]
  std::span<const Real> h_reverse{};      // the same, or empty
  Pool pool = Pool::kLast;
  float dropout = 0;
  RandomKey dropout_key{.stream = RandomStream::kDropout};
  const StepClock* clock = nullptr;  // in backend memory, or null
  std::span<const Real> fc_weight;   // [C, P]
  std::span<const Real> fc_bias;     // [C]
  std::span<Real> pooled;            // out [B, P]
  std::span<std::int32_t> argmax{};  // out [D, B, H] where the pool has a maximum: the first step that has it, or -1
  std::span<Real> logits;            // out [B, C]
  bool packed = false;               // both h, see RecurrenceForward

  std::int64_t directions() const { return h_reverse.empty() ? 1 : 2; }
  std::span<const Real> states(std::int64_t direction) const { return direction == 0 ? h : h_reverse; }
  std::int64_t pooled_width() const { return pooled_parts(pool) * directions() * shape.hidden; }  // P
  std::int64_t outputs() const { return static_cast<std::int64_t>(fc_bias.size()); }              // C
};

/// What one batch measured, in backend memory.
struct BatchStats {
  double loss_sum = 0;   // sum of the rows' losses, each times its weight
  double correct = 0;    // rows that are right, weights aside; see HeadBackward
  double grad_norm = 0;  // global norm before clipping by norm; written by ClipGradient
};

/// The loss, and the gradient of its mean over the batch with respect to the output layer and the states. Dropout and
/// pooling must be those of HeadForward.
///
/// A row's loss and gradient are multiplied by its weight, but the mean is over B rows (Keras' sample_weight). A
/// positive weight w multiplies the terms of y (PyTorch's pos_weight): with k = 1 + (w - 1) y
///   a logit's loss is      k max(x, 0) - w y x + k log(1 + exp(-|x|))
///   and its gradient       k sigmoid(x) - w y;
///   that of kSoftmax is    sum(y) softmax(x) - y, of kSquared 2 (x - y).
///
/// Right is a row of kSoftmax whose first largest logit is at the label, or at the first largest target; one of
/// kSigmoid by the share of its C in which (x > 0) == (y > 0.5); none of kSquared.
template <class Real>
struct HeadBackward {
  static constexpr const char* kName = "head_backward";
  SequenceShape shape;
  std::int64_t directions = 1;  // D
  Loss loss = Loss::kSigmoid;
  /// [B] or empty: 0 to C - 1, of kSoftmax; 0 or 1, of kSigmoid with C = 1. Exactly one of these two is given.
  std::span<const std::int32_t> labels{};
  std::span<const float> targets{};           // [B, C] or empty
  std::span<const float> weights{};           // [B] or empty: 1
  std::span<const float> positive_weights{};  // [C] or empty: 1; kSigmoid only
  std::span<const Real> logits;               // [B, C]
  std::span<BatchStats> stats;                // out [1]; with a clock, that at clock->slot of so many
  std::span<const std::int32_t> lengths;      // [B]
  std::span<const Real> pooled;               // [B, P]
  std::span<const Real> fc_weight;            // [C, P]
  Pool pool = Pool::kLast;
  float dropout = 0;
  RandomKey dropout_key{.stream = RandomStream::kDropout};
  const StepClock* clock = nullptr;  // in backend memory, or null
  std::span<Real> d_fc_weight;       // out [C, P]
  std::span<Real> d_fc_bias;         // out [C]
  /// out [parts, D, B, H]: the pooled state's gradient, a mean's divided by the row's length, 0 for an empty row.
  std::span<Real> d_state;

  std::int64_t pooled_width() const { return pooled_parts(pool) * directions * shape.hidden; }  // P
  std::int64_t outputs() const { return static_cast<std::int64_t>(d_fc_bias.size()); }          // C
};

/// What HeadBackward wrote to d_state, and HeadForward to `argmax`, of one of the directions.
template <class Real>
OutputGradient<Real> output_gradient(Pool pool, std::int64_t directions, std::int64_t direction,
                                     std::span<const Real> d_state, std::span<const std::int32_t> argmax) {
  OutputGradient<Real> gradient;
  const std::size_t size = d_state.size() / static_cast<std::size_t>(pooled_parts(pool) * directions);  // B*H
  for (std::int64_t part = 0; part < pooled_parts(pool); ++part) {
    const auto of_part = d_state.subspan(static_cast<std::size_t>(part * directions + direction) * size, size);
    switch (pooled_part(pool, part)) {
      case Pool::kMean:
        gradient.every = of_part;
        break;
      case Pool::kMax:
        gradient.maximum = of_part;
        gradient.argmax = argmax.subspan(static_cast<std::size_t>(direction) * size, size);
        break;
      default:
        gradient.last = of_part;
    }
  }
  return gradient;
}

inline void check_stats(std::span<const BatchStats> stats, const StepClock* clock) {
  if (clock == nullptr) return check_size(stats, 1, "stats");
  check_positive(static_cast<std::int64_t>(stats.size()), "stats");
}

template <class Real>
void check_arguments(const HeadForward<Real>& op) {
  const auto [B, T, H] = op.shape;
  const std::int64_t C = op.outputs();
  check_size(op.lengths, B, "lengths");
  const std::int64_t states = packed_size((T + 1) * B * H, op.packed);
  check_size(op.h, states, "h");
  check_optional(op.h_reverse, states, "h_reverse");
  check_positive(C, "fc_bias");
  check_size(op.fc_weight, C * op.pooled_width(), "fc_weight");
  check_size(op.pooled, B * op.pooled_width(), "pooled");
  check_size(op.argmax, has_maximum(op.pool) ? op.directions() * B * H : 0, "argmax");
  check_size(op.logits, B * C, "logits");
  check_share(op.dropout, "dropout");
}

template <class Real>
void check_arguments(const HeadBackward<Real>& op) {
  const std::int64_t B = op.shape.batch, C = op.outputs();
  const bool needs_targets = op.loss == Loss::kSquared || (op.loss == Loss::kSigmoid && C > 1);
  check_positive(C, "d_fc_bias");
  check_size(op.labels, needs_targets || !op.targets.empty() ? 0 : B, "labels");
  check_size(op.targets, op.labels.empty() ? B * C : 0, "targets");
  check_optional(op.weights, B, "weights");
  check_optional(op.positive_weights, op.loss == Loss::kSigmoid ? C : 0, "positive_weights");
  check_size(op.logits, B * C, "logits");
  check_stats(op.stats, op.clock);
  check_share(op.dropout, "dropout");
  check_size(op.lengths, B, "lengths");
  check_size(op.pooled, B * op.pooled_width(), "pooled");
  check_size(op.fc_weight, C * op.pooled_width(), "fc_weight");
  check_size(op.d_fc_weight, C * op.pooled_width(), "d_fc_weight");
  check_size(op.d_state, B * op.pooled_width(), "d_state");
}

}  // namespace reel
