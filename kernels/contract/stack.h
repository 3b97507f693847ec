// What stands between recurrent layers: a layer's states as the input of the one above, and two directions.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/batch.h"
#include "kernels/contract/checks.h"
#include "kernels/contract/recurrence.h"
#include "kernels/philox.h"

namespace reel {

/// The steps of a batch as a TokenIndex, of a vocabulary of T * B ids: that of step t of row b is t * B + b, its row in
/// states [T, B, W]. Each occurs once; a device whose RecurrenceBackward writes 0 to the steps that a row does not have
/// may list those too.
struct IndexSteps {
  static constexpr const char* kName = "index_steps";
  BatchShape shape;
  std::span<const std::int32_t> lengths;  // [B]
  TokenIndex index;                       // out
};

/// An index for the direction that begins with a row's last step, and calls that step 0: with t' = lengths[b] - 1 - t,
/// reverse_row_of[b, t'] = row_of[b, t], and where `position`, as an index of this device has it, holds t * B + b,
/// `reverse_position` holds t' * B + b.
struct ReverseIndex {
  static constexpr const char* kName = "reverse";
  BatchShape shape;
  std::span<const std::int32_t> lengths;       // [B]
  std::span<const std::int32_t> row_of;        // [B, T]
  std::span<const std::int32_t> position{};    // [B*T], or empty
  std::span<std::int32_t> reverse_row_of;      // out [B, T]
  std::span<std::int32_t> reverse_position{};  // out, as long as `position`
};

/// Between two layers: an element is kept and divided by 1 - rate where random_uniform(key, p) >= rate, with
/// p = ((layer * B + b) * T + t) * W + j, or, variational, p = (layer * B + b) * W + j: one mask for all steps of a row
/// (Gal and Ghahramani, NIPS 2016).
struct LayerDropout {
  float rate = 0;
  bool variational = false;
  std::int64_t layer = 0;  // below
  RandomKey key{.stream = RandomStream::kLayerDropout};
  const StepClock* clock = nullptr;  // in backend memory, or null
};

/// rows[t, b] = what dropout makes of h[t+1, b] and, of two directions, h_reverse[lengths[b] - t, b] behind it, for
/// t < lengths[b]; others are finite. D directions, W = D * H.
template <class Real>
struct StackStates {
  static constexpr const char* kName = "stack";
  SequenceShape shape;
  std::span<const std::int32_t> lengths;  // [B]
  std::span<const Real> h;                // [T+1, B, H]
  std::span<const Real> h_reverse{};      // the same, or empty
  LayerDropout dropout;
  std::span<Real> rows;  // out [T, B, W]

  std::int64_t width() const { return (h_reverse.empty() ? 1 : 2) * shape.hidden; }  // W
};

/// What the dropout of StackStates makes of a gradient, in place: row u is that of the step tokens[u], `count` and
/// `tokens` as this device's IndexSteps wrote them.
template <class Real>
struct StackGradient {
  static constexpr const char* kName = "stack_gradient";
  BatchShape shape;
  std::span<const std::int32_t> count;   // [1] U
  std::span<const std::int32_t> tokens;  // [room for U]
  std::int64_t width = 0;                // W
  LayerDropout dropout;
  std::span<Real> d_rows;  // in/out [room for U, W]
};

inline void check_arguments(const IndexSteps& op) {
  check_size(op.lengths, op.shape.batch, "lengths");
  check_count(op.index.vocabulary(), op.shape.batch * op.shape.steps, "index.slot");
  check_index(op.index, op.shape);
}

inline void check_arguments(const ReverseIndex& op) {
  const std::int64_t positions = op.shape.batch * op.shape.steps;
  check_size(op.lengths, op.shape.batch, "lengths");
  check_size(op.row_of, positions, "row_of");
  check_optional(op.position, positions, "position");
  check_size(op.reverse_row_of, positions, "reverse_row_of");
  check_size(op.reverse_position, static_cast<std::int64_t>(op.position.size()), "reverse_position");
}

inline void check_dropout(const LayerDropout& dropout) {
  check_share(dropout.rate, "dropout.rate");
  check_not_negative(static_cast<double>(dropout.layer), "dropout.layer");
}

template <class Real>
void check_arguments(const StackStates<Real>& op) {
  const auto [B, T, H] = op.shape;
  check_size(op.lengths, B, "lengths");
  check_size(op.h, (T + 1) * B * H, "h");
  check_optional(op.h_reverse, (T + 1) * B * H, "h_reverse");
  check_dropout(op.dropout);
  check_size(op.rows, T * B * op.width(), "rows");
}

template <class Real>
void check_arguments(const StackGradient<Real>& op) {
  check_size(op.count, 1, "count");
  check_size(op.tokens, op.shape.batch * op.shape.steps, "tokens");
  check_positive(op.width, "width");
  check_dropout(op.dropout);
  check_size(op.d_rows, op.shape.batch * op.shape.steps * op.width, "d_rows");
}

}  // namespace reel
