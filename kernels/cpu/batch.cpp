// Selecting the rows of a batch, and indexing its distinct tokens by counting.
#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/check.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/uniform_sequence.h"

namespace reel::cpu {
namespace {

/// Of row `row` of the data set.
void select_targets(const SelectRows& op, std::size_t row, std::span<float> targets) {
  std::ranges::fill(targets, 0.0f);
  const auto end = static_cast<std::size_t>(op.data_targets.begin[row + 1]);
  for (auto i = static_cast<std::size_t>(op.data_targets.begin[row]); i < end; ++i) {
    const auto column = static_cast<std::size_t>(op.data_targets.columns[i]);
    REEL_CHECK(column < targets.size(), "row {} has target {} of {}", row, op.data_targets.columns[i], targets.size());
    targets[column] = op.data_targets.values[i];
  }
}

void select_row(const SelectRows& op, std::size_t b) {
  const auto T = static_cast<std::size_t>(op.shape.steps);
  const auto row = static_cast<std::size_t>(op.rows[static_cast<std::size_t>(row_at(op.clock, op.last_row())) + b]);
  REEL_CHECK(row < op.data_lengths.size(), "row {} of {}", row, op.data_lengths.size());
  const auto length = static_cast<std::size_t>(op.data_lengths[row]);
  REEL_CHECK(length <= T, "row {} has {} tokens, {} steps", row, length, T);
  const auto review = op.data_ids.subspan(row * T, length);
  const std::span<std::int32_t> ids = op.ids.subspan(b * T, T);
  const std::size_t first = op.padding == Padding::kPre ? T - length : 0;
  std::copy(review.begin(), review.end(), ids.begin() + static_cast<std::ptrdiff_t>(first));
  if (op.word_dropout > 0) {
    UniformSequence uniform(key_at(op.clock, op.word_dropout_key));
    for (std::size_t i = 0; i < length; ++i) {
      if (uniform.at(b * T + i) < op.word_dropout) ids[first + i] = op.unknown_id;
    }
  }
  if (op.padding != Padding::kNone) {
    const std::size_t padding = op.padding == Padding::kPre ? 0 : length;
    std::fill_n(ids.begin() + static_cast<std::ptrdiff_t>(padding), T - length, 0);
  }
  op.lengths[b] = static_cast<std::int32_t>(op.padding == Padding::kNone ? length : T);
  const auto C = static_cast<std::size_t>(op.outputs());
  if (!op.labels.empty()) op.labels[b] = op.data_labels[row];
  if (!op.targets.empty()) select_targets(op, row, op.targets.subspan(b * C, C));
  if (!op.weights.empty()) op.weights[b] = op.data_weights[row];
}

}  // namespace

void execute(CpuContext& context, const SelectRows& op) {
  for_each_row(context, static_cast<std::size_t>(op.shape.batch), [&](std::size_t b) { select_row(op, b); });
  std::iota(op.by_length.begin(), op.by_length.end(), 0);
  std::ranges::sort(op.by_length, {},
                    [&](std::int32_t b) { return std::pair(-op.lengths[static_cast<std::size_t>(b)], b); });
}

void execute(CpuContext&, const BeginStep& op) {
  const StepClock now = op.clock[0] = op.clock[1];
  op.clock[1] = {.step = now.step + 1, .row = now.row + op.rows, .slot = (now.slot + 1) % op.slots};
}

void execute(CpuContext&, const IndexTokens& op) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const auto T = static_cast<std::size_t>(op.shape.steps);
  const TokenIndex& index = op.index;
  const std::size_t V = index.slot.size();
  const auto at = [](auto span, auto i) -> auto& { return span[static_cast<std::size_t>(i)]; };

  std::ranges::fill(index.slot, -1);

  // Distinct tokens by first appearance; segment[u + 1] counts token u.
  std::int32_t count = 0;
  std::size_t longest = 0, total = 0;
  for (std::size_t b = 0; b < B; ++b) {
    const auto length = static_cast<std::size_t>(op.lengths[b]);
    longest = std::max(longest, length);
    total += length;
    for (std::size_t t = 0; t < length; ++t) {
      const std::int32_t id = op.ids[b * T + t];
      REEL_CHECK(static_cast<std::size_t>(id) < V, "token {} in row {}, vocabulary of {}", id, b, V);
      std::int32_t& slot = at(index.slot, id);
      if (slot < 0) {
        slot = count;
        at(index.tokens, count) = id;
        at(index.segment, ++count) = 0;
      }
      index.row_of[b * T + t] = slot;
      ++at(index.segment, slot + 1);
    }
  }
  index.count[0] = count;

  // Counts to ends of segments; filled from the last position, ends become begins.
  index.segment[0] = 0;
  for (std::int32_t u = 0; u < count; ++u) at(index.segment, u + 1) += at(index.segment, u);
  std::int32_t* const begin = index.segment.data() + 1;
  for (std::size_t t = longest; t-- > 0;) {
    for (std::size_t b = B; b-- > 0;) {
      if (static_cast<std::size_t>(op.lengths[b]) <= t) continue;
      at(index.position, --begin[index.row_of[b * T + t]]) = static_cast<std::int32_t>(t * B + b);
    }
  }
  std::copy(begin, begin + count, index.segment.begin());
  at(index.segment, count) = static_cast<std::int32_t>(total);
}

}  // namespace reel::cpu
