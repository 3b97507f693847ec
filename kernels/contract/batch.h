// Batches: selecting their rows, and indexing their tokens.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/checks.h"
#include "kernels/contract/clock.h"
#include "kernels/philox.h"

namespace reel {

enum class Padding { kNone, kPre, kPost };  // kNone: rows keep their own length, that is, padding is masked

struct BatchShape {
  std::int64_t batch = 0;  // B
  std::int64_t steps = 0;  // T
};

/// What reviews are to be told as, C numbers each of which most are 0: values[i] at columns[i], for begin[n] <= i <
/// begin[n + 1] of review n. Where a column comes twice, the last counts.
struct SparseTargets {
  std::span<const std::int32_t> begin{};    // [N + 1]
  std::span<const std::int32_t> columns{};  // [begin[N]] 0 to C - 1
  std::span<const float> values{};          // [begin[N]]
};

/// Copies rows of the data set into a batch. Word dropout turns each of a review's tokens into `unknown_id` where
/// random_uniform(word_dropout_key, b * T + i) < word_dropout, i counting the review's own tokens. With padding, id 0
/// fills the row up to T steps and every length is T.
struct SelectRows {
  static constexpr const char* kName = "select";
  BatchShape shape;
  std::span<const std::int32_t> data_ids;       // [N, T] the reviews' tokens, left-aligned
  std::span<const std::int32_t> data_lengths;   // [N]
  std::span<const std::int32_t> data_labels{};  // [N] or empty
  SparseTargets data_targets{};                 // of N, or empty
  std::span<const float> data_weights{};        // [N] or empty
  std::span<const std::int32_t> rows;           // [B] which reviews; with a clock B of them from clock->row on
  const StepClock* clock = nullptr;             // in backend memory, or null
  Padding padding = Padding::kNone;
  float word_dropout = 0;
  std::int32_t unknown_id = 2;
  RandomKey word_dropout_key{.stream = RandomStream::kWordDropout};
  std::span<std::int32_t> ids;      // out [B, T]; undefined from lengths[b] on
  std::span<std::int32_t> lengths;  // out [B]
  /// out [B] or empty: the batch's rows, longest first, of those as long in their own order.
  std::span<std::int32_t> by_length{};
  // Of what the data set has, else empty:
  std::span<std::int32_t> labels{};  // out [B]
  std::span<float> targets{};        // out [B, C]
  std::span<float> weights{};        // out [B]

  std::int64_t last_row() const { return static_cast<std::int64_t>(rows.size()) - shape.batch; }  // to begin with
  std::int64_t outputs() const {                                                                  // C
    return shape.batch > 0 ? static_cast<std::int64_t>(targets.size()) / shape.batch : 0;
  }
};

/// The distinct tokens of a batch, and where each occurs; ids that do not occur may be listed too, with an empty
/// segment.
struct TokenIndex {
  std::span<std::int32_t> count;     // [1] U
  std::span<std::int32_t> tokens;    // [min(V, B*T)] the distinct ids, U used
  std::span<std::int32_t> slot;      // [V] index of an id in `tokens`, -1 where the batch lacks it
  std::span<std::int32_t> row_of;    // [B, T] slot of ids[b, t]; defined for t < lengths[b]
  std::span<std::int32_t> segment;   // [min(V, B*T) + 1] of token u: position[segment[u] .. segment[u+1])
  std::span<std::int32_t> position;  // [B*T] t * B + b of each occurrence, ascending within a segment

  std::int64_t vocabulary() const { return static_cast<std::int64_t>(slot.size()); }
  std::int64_t capacity() const { return static_cast<std::int64_t>(tokens.size()); }  // the largest U
};

/// The most distinct tokens that a batch can hold.
constexpr std::int64_t max_distinct(const BatchShape& shape, std::int64_t vocabulary) {
  return shape.batch * shape.steps < vocabulary ? shape.batch * shape.steps : vocabulary;
}

struct IndexTokens {
  static constexpr const char* kName = "index";
  BatchShape shape;
  std::span<const std::int32_t> ids;      // [B, T]
  std::span<const std::int32_t> lengths;  // [B]
  TokenIndex index;                       // out
};

inline void check_arguments(const SelectRows& op) {
  const auto [B, T] = op.shape;
  const auto N = static_cast<std::int64_t>(op.data_lengths.size());
  if (op.clock == nullptr) check_size(op.rows, B, "rows");
  check_not_negative(static_cast<double>(op.last_row()), "rows beyond the batch");
  check_size(op.data_ids, N * T, "data_ids");
  check_optional(op.data_labels, N, "data_labels");
  check_optional(op.data_targets.begin, N + 1, "data_targets.begin");
  check_same(static_cast<std::int64_t>(op.data_targets.values.size()),
             static_cast<std::int64_t>(op.data_targets.columns.size()), "data_targets.values", "data_targets.columns");
  check_optional(op.data_weights, N, "data_weights");
  check_size(op.ids, B * T, "ids");
  check_size(op.lengths, B, "lengths");
  check_optional(op.by_length, B, "by_length");
  check_size(op.labels, op.data_labels.empty() ? 0 : B, "labels");
  if (!op.data_targets.begin.empty()) check_positive(op.outputs(), "columns of targets");
  check_size(op.targets, op.data_targets.begin.empty() ? 0 : B * op.outputs(), "targets");
  check_size(op.weights, op.data_weights.empty() ? 0 : B, "weights");
  check_share(op.word_dropout, "word_dropout");
  check_not_negative(op.unknown_id, "unknown_id");
}

inline void check_index(const TokenIndex& index, const BatchShape& shape) {
  check_size(index.count, 1, "index.count");
  check_positive(index.vocabulary(), "index.slot");
  check_size(index.tokens, max_distinct(shape, index.vocabulary()), "index.tokens");
  check_size(index.row_of, shape.batch * shape.steps, "index.row_of");
  check_size(index.segment, index.capacity() + 1, "index.segment");
  check_size(index.position, shape.batch * shape.steps, "index.position");
}

inline void check_arguments(const IndexTokens& op) {
  check_size(op.ids, op.shape.batch * op.shape.steps, "ids");
  check_size(op.lengths, op.shape.batch, "lengths");
  check_index(op.index, op.shape);
}

}  // namespace reel
