// A layer's states as the input of the one above: the index of steps, its reversal, and dropout in between.
#include <algorithm>

#include "kernels/cpu/dropout.h"
#include "kernels/cpu/operations.h"

namespace reel::cpu {
namespace {

/// Of row b at step t, in place.
template <class Real>
void drop_states(const LayerDropout& dropout, const BatchShape& shape, std::size_t b, std::size_t t,
                 std::span<Real> row) {
  const auto B = static_cast<std::size_t>(shape.batch), T = static_cast<std::size_t>(shape.steps);
  const std::size_t of_layer = static_cast<std::size_t>(dropout.layer) * B + b;
  apply_dropout(dropout.rate, key_at(dropout.clock, dropout.key),
                (dropout.variational ? of_layer : of_layer * T + t) * row.size(), row);
}

template <class Real>
void stack(CpuContext& context, const StackStates<Real>& op) {
  const auto B = static_cast<std::size_t>(op.shape.batch), H = static_cast<std::size_t>(op.shape.hidden);
  const auto W = static_cast<std::size_t>(op.width());
  const BatchShape shape{op.shape.batch, op.shape.steps};
  for_each_row(context, B, [&](std::size_t b) {
    const auto length = static_cast<std::size_t>(op.lengths[b]);
    for (std::size_t t = 0; t < length; ++t) {
      const std::span<Real> row = op.rows.subspan((t * B + b) * W, W);
      std::ranges::copy(op.h.subspan(((t + 1) * B + b) * H, H), row.begin());
      if (!op.h_reverse.empty()) {
        std::ranges::copy(op.h_reverse.subspan(((length - t) * B + b) * H, H), row.subspan(H).begin());
      }
      drop_states(op.dropout, shape, b, t, row);
    }
  });
}

template <class Real>
void stack_gradient(CpuContext& context, const StackGradient<Real>& op) {
  const auto B = static_cast<std::size_t>(op.shape.batch), W = static_cast<std::size_t>(op.width);
  for_each_row(context, static_cast<std::size_t>(op.count[0]), [&](std::size_t u) {
    const auto step = static_cast<std::size_t>(op.tokens[u]);
    drop_states(op.dropout, op.shape, step % B, step / B, op.d_rows.subspan(u * W, W));
  });
}

}  // namespace

void execute(CpuContext&, const IndexSteps& op) {
  const auto B = static_cast<std::size_t>(op.shape.batch), T = static_cast<std::size_t>(op.shape.steps);
  const TokenIndex& index = op.index;
  std::ranges::fill(index.slot, -1);
  std::size_t count = 0;
  for (std::size_t t = 0; t < T; ++t) {
    for (std::size_t b = 0; b < B; ++b) {
      if (t >= static_cast<std::size_t>(op.lengths[b])) continue;
      const auto step = static_cast<std::int32_t>(t * B + b);
      const auto slot = static_cast<std::int32_t>(count);
      index.tokens[count] = index.position[count] = step;
      index.segment[count] = slot;
      index.slot[t * B + b] = index.row_of[b * T + t] = slot;
      ++count;
    }
  }
  index.segment[count] = static_cast<std::int32_t>(count);
  index.count[0] = static_cast<std::int32_t>(count);
}

void execute(CpuContext&, const ReverseIndex& op) {
  const auto B = static_cast<std::size_t>(op.shape.batch), T = static_cast<std::size_t>(op.shape.steps);
  std::size_t used = 0;  // of `position`
  for (std::size_t b = 0; b < B; ++b) {
    const auto length = static_cast<std::size_t>(op.lengths[b]);
    for (std::size_t t = 0; t < length; ++t) op.reverse_row_of[b * T + t] = op.row_of[b * T + length - 1 - t];
    used += length;
  }
  for (std::size_t i = 0; i < std::min(used, op.position.size()); ++i) {
    const auto step = static_cast<std::size_t>(op.position[i]);
    const std::size_t t = step / B, b = step % B;
    op.reverse_position[i] = static_cast<std::int32_t>((static_cast<std::size_t>(op.lengths[b]) - 1 - t) * B + b);
  }
}

void execute(CpuContext& context, const StackStates<float>& op) { stack(context, op); }
void execute(CpuContext& context, const StackStates<double>& op) { stack(context, op); }
void execute(CpuContext& context, const StackGradient<float>& op) { stack_gradient(context, op); }
void execute(CpuContext& context, const StackGradient<double>& op) { stack_gradient(context, op); }

}  // namespace reel::cpu
