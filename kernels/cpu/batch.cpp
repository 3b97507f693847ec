// Selecting the rows of a batch, and indexing its distinct tokens by counting.
#include <algorithm>

#include "kernels/check.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/uniform_sequence.h"

namespace reel::cpu {
namespace {

void select_row(const SelectRows& args, std::size_t b) {
  const auto T = static_cast<std::size_t>(args.shape.steps);
  const auto row = static_cast<std::size_t>(args.rows[b]);
  REEL_CHECK(row < args.data_labels.size(), "row {} of {}", row, args.data_labels.size());
  const auto length = static_cast<std::size_t>(args.data_lengths[row]);
  const auto review = args.data_ids.subspan(row * T, length);
  const std::span<std::int32_t> ids = args.ids.subspan(b * T, T);
  const std::size_t first = args.padding == Padding::kPre ? T - length : 0;
  std::copy(review.begin(), review.end(), ids.begin() + static_cast<std::ptrdiff_t>(first));
  if (args.word_dropout > 0) {
    UniformSequence uniform(args.word_dropout_key);
    for (std::size_t i = 0; i < length; ++i) {
      if (uniform.at(b * T + i) < args.word_dropout) ids[first + i] = args.unknown_id;
    }
  }
  if (args.padding != Padding::kNone) {
    const std::size_t padding = args.padding == Padding::kPre ? 0 : length;
    std::fill_n(ids.begin() + static_cast<std::ptrdiff_t>(padding), T - length, 0);
  }
  args.lengths[b] = static_cast<std::int32_t>(args.padding == Padding::kNone ? length : T);
  args.labels[b] = args.data_labels[row];
}

}  // namespace

void select_rows(CpuContext& context, const SelectRows& args) {
  constexpr std::size_t kRows = 8;
  const auto B = static_cast<std::size_t>(args.shape.batch);
  context.pool.run((B + kRows - 1) / kRows, [&](std::size_t task) {
    for (std::size_t b = task * kRows; b < std::min(B, (task + 1) * kRows); ++b) select_row(args, b);
  });
}

void clear_index(const TokenIndex& index) {
  std::fill(index.slot.begin(), index.slot.end(), -1);
  index.count[0] = 0;
}

void index_tokens(CpuContext&, const IndexTokens& args) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const auto T = static_cast<std::size_t>(args.shape.steps);
  const auto V = static_cast<std::size_t>(args.shape.vocabulary);
  const TokenIndex& index = args.index;
  const auto at = [](auto span, auto i) -> auto& { return span[static_cast<std::size_t>(i)]; };

  for (std::int32_t u = 0; u < index.count[0]; ++u) at(index.slot, at(index.tokens, u)) = -1;

  // Distinct tokens by first appearance; segment[u + 1] counts token u.
  std::int32_t count = 0;
  std::size_t longest = 0;
  for (std::size_t b = 0; b < B; ++b) {
    const auto length = static_cast<std::size_t>(args.lengths[b]);
    longest = std::max(longest, length);
    for (std::size_t t = 0; t < length; ++t) {
      const std::int32_t id = args.ids[b * T + t];
      REEL_CHECK(static_cast<std::size_t>(id) < V, "token {} in row {}, vocabulary of {}", id, b, V);
      std::int32_t& slot = at(index.slot, id);
      if (slot < 0) {
        slot = count;
        at(index.tokens, count) = id;
        at(index.segment, ++count) = 0;
      }
      index.row[b * T + t] = slot;
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
      if (static_cast<std::size_t>(args.lengths[b]) <= t) continue;
      at(index.position, --begin[index.row[b * T + t]]) = static_cast<std::int32_t>(t * B + b);
    }
  }
  const std::int32_t total = count > 0 ? [&] {
    std::int64_t tokens = 0;
    for (std::size_t b = 0; b < B; ++b) tokens += args.lengths[b];
    return static_cast<std::int32_t>(tokens);
  }() : 0;
  std::copy(begin, begin + count, index.segment.begin());
  at(index.segment, count) = total;
}

}  // namespace reel::cpu
