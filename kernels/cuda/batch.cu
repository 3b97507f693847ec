// Selecting the rows of a batch, and indexing its tokens by a stable sort of (token, position).
//
// Distinct tokens are listed in ascending order, or the whole vocabulary is (lists_vocabulary). Then every id is its
// own slot, so that the way forward does not need the sort, which runs beside it.
#include <algorithm>
#include <bit>

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/philox.h"

namespace reel::cuda {
namespace {

struct SelectArgs {
  const std::int32_t* data_ids;
  const std::int32_t* data_lengths;
  const std::int32_t* data_labels;
  const std::int32_t* target_begin;
  const std::int32_t* target_columns;
  const float* target_values;
  const float* data_weights;
  const std::int32_t* rows;
  std::int32_t* ids;
  std::int32_t* lengths;
  std::int32_t* labels;  // these three: or null
  float* targets;
  float* weights;
  RandomKey key;
  std::int64_t outputs;  // C
  float word_dropout;
  std::int32_t unknown_id;
  int steps;
  Padding padding;
};

/// A thread has every blockDim.x-th column to itself: it clears them, and then takes its own of the row's entries.
__device__ inline void select_targets(const SelectArgs& args, int b, int row) {
  const int first = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
  float* const targets = args.targets + b * args.outputs;
  for (std::int64_t c = first; c < args.outputs; c += step) targets[c] = 0;
  for (int i = args.target_begin[row]; i < args.target_begin[row + 1]; ++i) {
    const int c = args.target_columns[i];
    if (c % step == first) targets[c] = args.target_values[i];
  }
}

/// A block for each batch row.
__global__ void select_rows_kernel(SelectArgs args) {
  const int b = static_cast<int>(blockIdx.x), T = args.steps;
  const int row = args.rows[b], length = args.data_lengths[row];
  const int first = args.padding == Padding::kPre ? T - length : 0;
  const std::int32_t* review = args.data_ids + static_cast<std::size_t>(row) * T;
  for (int t = static_cast<int>(threadIdx.x); t < T; t += static_cast<int>(blockDim.x)) {
    const int i = t - first;
    std::int32_t id = 0;  // padding
    if (i >= 0 && i < length) {
      const bool dropped = args.word_dropout > 0 &&
                           random_uniform(args.key, static_cast<std::uint64_t>(b) * static_cast<std::uint64_t>(T) +
                                                        static_cast<std::uint64_t>(i)) < args.word_dropout;
      id = dropped ? args.unknown_id : review[i];
    }
    args.ids[static_cast<std::size_t>(b) * T + t] = id;
  }
  if (threadIdx.x == 0) {
    args.lengths[b] = args.padding == Padding::kNone ? length : T;
    if (args.labels != nullptr) args.labels[b] = args.data_labels[row];
    if (args.weights != nullptr) args.weights[b] = args.data_weights[row];
  }
  if (args.targets != nullptr) select_targets(args, b, row);
}

struct IndexArgs {
  const std::int32_t* ids;      // [B, T]
  const std::int32_t* lengths;  // [B]
  std::int32_t* keys;           // [T B] the token at position t * B + b, V beyond the row's end
  std::int32_t* positions;      // [T B]
  std::int32_t* sorted;         // [T B] keys, ascending
  std::int32_t* sums;           // [T B] how many distinct tokens up to here
  std::int32_t* count;          // of TokenIndex, as are those below
  std::int32_t* tokens;
  std::int32_t* slot;
  std::int32_t* row_of;
  std::int32_t* segment;
  const std::int32_t* position;
  int vocabulary, batch, steps;
};

/// What is sorted at position i.
__device__ inline void list_token(const IndexArgs& args, int i) {
  if (i >= args.batch * args.steps) return;
  const int t = i / args.batch, b = i % args.batch;
  args.keys[i] = t < args.lengths[b] ? args.ids[b * args.steps + t] : args.vocabulary;
  args.positions[i] = i;
}

/// Slots of words that the batch lacks stay as they are here.
__global__ void list_tokens_kernel(IndexArgs args) {
  const auto i = static_cast<int>(global_thread());
  list_token(args, i);
  if (i < args.vocabulary) args.slot[i] = -1;
}

/// Index of the first of the sorted keys [count] that is not below `key`.
__device__ inline int lower_bound(const std::int32_t* keys, int count, int key) {
  int first = 0;
  while (count > 0) {
    const int half = count / 2;
    if (keys[first + half] < key) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return first;
}

/// Every id of the vocabulary has its own slot.
__global__ void list_vocabulary_kernel(IndexArgs args) {
  const auto i = static_cast<int>(global_thread());
  list_token(args, i);
  if (i < args.vocabulary) {
    args.tokens[i] = i;
    args.slot[i] = i;
  }
  if (i < args.batch * args.steps) args.row_of[i] = args.ids[i];
  if (i == 0) args.count[0] = args.vocabulary;
}

/// Thread V writes the end of the last segment.
__global__ void segment_vocabulary_kernel(IndexArgs args) {
  const auto i = static_cast<int>(global_thread());
  if (i <= args.vocabulary) args.segment[i] = lower_bound(args.sorted, args.batch * args.steps, i);
}

__device__ inline bool begins_token(const IndexArgs& args, int i) {
  return args.sorted[i] < args.vocabulary && (i == 0 || args.sorted[i - 1] != args.sorted[i]);
}

/// keys is reused for 1 where a token begins.
__global__ void mark_begins_kernel(IndexArgs args) {
  const auto i = static_cast<int>(global_thread());
  if (i < args.batch * args.steps) args.keys[i] = begins_token(args, i) ? 1 : 0;
}

__global__ void index_distinct_kernel(IndexArgs args) {
  const int i = static_cast<int>(global_thread()), positions = args.batch * args.steps;
  if (i >= positions) return;
  const bool valid = args.sorted[i] < args.vocabulary;
  const int u = args.sums[i] - 1;
  if (begins_token(args, i)) {
    args.tokens[u] = args.sorted[i];
    args.slot[args.sorted[i]] = u;
    args.segment[u] = i;
  }
  if (valid) {
    const int t = args.position[i] / args.batch, b = args.position[i] % args.batch;
    args.row_of[b * args.steps + t] = u;
  }
  if (i == positions - 1) {
    args.count[0] = u + 1;
    args.segment[u + 1] = lower_bound(args.sorted, positions, args.vocabulary);
  }
}

}  // namespace

void execute(CudaContext& context, const SelectRows& op) {
  CudaContext& tokens = context.fork(Side::kTokens);
  launch(select_rows_kernel,
         per_block(tokens, op.shape.batch, 128, {.bytes = bytes_of(2 * op.shape.batch * op.shape.steps), .loads = 3}),
         {.data_ids = op.data_ids.data(),
          .data_lengths = op.data_lengths.data(),
          .data_labels = op.data_labels.data(),
          .target_begin = op.data_targets.begin.data(),
          .target_columns = op.data_targets.columns.data(),
          .target_values = op.data_targets.values.data(),
          .data_weights = op.data_weights.data(),
          .rows = op.rows.data(),
          .ids = op.ids.data(),
          .lengths = op.lengths.data(),
          .labels = address_of(op.labels),
          .targets = address_of(op.targets),
          .weights = address_of(op.weights),
          .key = op.word_dropout_key,
          .outputs = op.outputs(),
          .word_dropout = op.word_dropout,
          .unknown_id = op.unknown_id,
          .steps = static_cast<int>(op.shape.steps),
          .padding = op.padding});
}

void execute(CudaContext& context, const IndexTokens& op) {
  const auto [B, T] = op.shape;
  const std::int64_t positions = B * T, V = op.index.vocabulary();
  const TokenIndex& index = op.index;
  const bool whole = lists_vocabulary(index.capacity(), V);
  if (!whole) context.join(Side::kTokens);
  CudaContext& tokens = whole ? context.fork(Side::kTokens) : context;
  tokens.scratch.reserve(4 * Scratch::need<std::int32_t>(positions));
  const IndexArgs kernel_args{.ids = op.ids.data(),
                              .lengths = op.lengths.data(),
                              .keys = tokens.scratch.take<std::int32_t>(positions),
                              .positions = tokens.scratch.take<std::int32_t>(positions),
                              .sorted = tokens.scratch.take<std::int32_t>(positions),
                              .sums = tokens.scratch.take<std::int32_t>(positions),
                              .count = index.count.data(),
                              .tokens = index.tokens.data(),
                              .slot = index.slot.data(),
                              .row_of = index.row_of.data(),
                              .segment = index.segment.data(),
                              .position = index.position.data(),
                              .vocabulary = static_cast<int>(V),
                              .batch = static_cast<int>(B),
                              .steps = static_cast<int>(T)};
  const SortPairs sort{.keys = kernel_args.keys,
                       .sorted_keys = kernel_args.sorted,
                       .values = kernel_args.positions,
                       .sorted_values = index.position.data(),
                       .count = positions,
                       .bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(V)))};
  const std::int64_t all = std::max(positions, V);
  const Work listing{.bytes = bytes_of((whole ? 4 : 3) * positions + (whole ? 2 : 1) * V), .loads = 2};
  launch(whole ? list_vocabulary_kernel : list_tokens_kernel, over(tokens, all, listing), kernel_args);
  if (whole) {
    CudaContext& sorting = context.fork(Side::kSort, tokens);
    sorting.platform.sort_pairs(sort);
    const auto probes = static_cast<double>(std::bit_width(static_cast<std::uint64_t>(positions)));
    launch(segment_vocabulary_kernel, over(sorting, V + 1, {.bytes = bytes_of(positions + V), .loads = probes}),
           kernel_args);
    return;
  }
  context.platform.sort_pairs(sort);
  launch(mark_begins_kernel, over(context, positions, {.bytes = bytes_of(2 * positions), .loads = 1}), kernel_args);
  context.platform.inclusive_sum({.values = kernel_args.keys, .sums = kernel_args.sums, .count = positions});
  launch(index_distinct_kernel, over(context, positions, {.bytes = bytes_of(7 * positions), .loads = 2}), kernel_args);
}

}  // namespace reel::cuda
