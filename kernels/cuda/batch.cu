// The step that begins, selecting the rows of its batch, and indexing its tokens.
//
// Distinct tokens are listed in ascending order: each position marks its word, and the sum of the marks up to a word is
// its slot. Or the whole vocabulary is listed (lists_vocabulary): every id is its own slot. Where a token occurs comes
// from a stable sort of (token, position), which the way forward does not need: it runs beside it.
#include <algorithm>
#include <bit>
#include <cmath>

#include <cuda_ptx.h>

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/reduce.cuh"

namespace reel::cuda {
namespace {

struct BeginStepArgs {
  StepClock* clock;  // [2]
  std::int64_t rows, slots;
};

/// One thread.
__global__ void begin_step_kernel(BeginStepArgs args) {
  const StepClock now = args.clock[1];
  args.clock[0] = now;
  args.clock[1] = {now.step + 1, now.row + args.rows, now.slot + 1 < args.slots ? now.slot + 1 : 0};
}

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
  std::int32_t* by_length;  // these four: or null
  std::int32_t* labels;
  float* targets;
  float* weights;
  RandomKey key;
  const StepClock* clock;  // or null
  std::int64_t last_row;   // to begin with
  std::int64_t outputs;    // C
  float word_dropout;
  std::int32_t unknown_id;
  int steps;
  Padding padding;
};

/// How many of the batch's `rows` come before row b, of so many steps: those that are longer, and of those as long the
/// first ones. In every thread.
__device__ inline int rows_before(const SelectArgs& args, const std::int32_t* rows, int b, int length) {
  REEL_SHARED(int[32], partial);
  int before = 0;
  for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(gridDim.x); i += static_cast<int>(blockDim.x)) {
    const int other = args.padding == Padding::kNone ? args.data_lengths[rows[i]] : length;
    if (other > length || (other == length && i < b)) ++before;
  }
  return block_sum(before, partial);
}

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
  const std::int32_t* const rows = args.rows + row_at(args.clock, args.last_row);
  const int row = rows[b], length = args.data_lengths[row];
  const int first = args.padding == Padding::kPre ? T - length : 0;
  const std::int32_t* review = args.data_ids + static_cast<std::size_t>(row) * T;
  for (int t = static_cast<int>(threadIdx.x); t < T; t += static_cast<int>(blockDim.x)) {
    const int i = t - first;
    std::int32_t id = 0;  // padding
    if (i >= 0 && i < length) {
      const bool dropped =
          args.word_dropout > 0 &&
          random_uniform(key_at(args.clock, args.key), static_cast<std::uint64_t>(b) * static_cast<std::uint64_t>(T) +
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
  if (args.by_length == nullptr) return;
  const int place = rows_before(args, rows, b, length);
  if (threadIdx.x == 0) args.by_length[place] = b;
}

struct IndexArgs {
  const std::int32_t* ids;      // [B, T]
  const std::int32_t* lengths;  // [B]
  std::int32_t* keys;           // [T B] the token at position t * B + b, V beyond the row's end
  std::int32_t* positions;      // [T B]
  std::int32_t* sorted;         // [T B] keys, ascending
  std::int32_t* marks;          // [V] 1 where the batch has the word, else 0
  std::int32_t* sums;           // [V] how many words the batch has up to here
  std::int32_t* count;          // of TokenIndex, as are those below
  std::int32_t* tokens;
  std::int32_t* slot;
  std::int32_t* row_of;
  std::int32_t* segment;
  int vocabulary, batch, steps;
};

/// What is sorted at position i, which is returned.
__device__ inline int list_token(const IndexArgs& args, int i) {
  const int t = i / args.batch, b = i % args.batch;
  const int key = t < args.lengths[b] ? args.ids[b * args.steps + t] : args.vocabulary;
  args.keys[i] = key;
  args.positions[i] = i;
  return key;
}

/// Every id of the vocabulary has its own slot.
__global__ void list_vocabulary_kernel(IndexArgs args) {
  const auto i = static_cast<int>(global_thread());
  if (i < args.batch * args.steps) {
    list_token(args, i);
    args.row_of[i] = args.ids[i];
  }
  if (i < args.vocabulary) {
    args.tokens[i] = i;
    args.slot[i] = i;
  }
  if (i == 0) args.count[0] = args.vocabulary;
}

__global__ void mark_tokens_kernel(IndexArgs args) {
  const auto i = static_cast<int>(global_thread());
  if (i >= args.batch * args.steps) return;
  const int token = list_token(args, i);
  if (token < args.vocabulary) store_relaxed(args.marks + token, 1);
}

__global__ void list_distinct_kernel(IndexArgs args) {
  const auto i = static_cast<int>(global_thread());
  if (i < args.vocabulary) {
    const int u = args.sums[i] - 1;
    const bool there = args.marks[i] != 0;
    args.slot[i] = there ? u : -1;
    if (there) args.tokens[u] = i;
    if (i == args.vocabulary - 1) args.count[0] = u + 1;
  }
  if (i < args.batch * args.steps && i % args.steps < args.lengths[i / args.steps]) {
    args.row_of[i] = args.sums[args.ids[i]] - 1;
  }
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

/// Thread U writes the end of the last segment.
__global__ void find_segments_kernel(IndexArgs args) {
  const auto u = static_cast<int>(global_thread());
  const int count = args.count[0];
  if (u > count) return;
  const int token = u < count ? args.tokens[u] : args.vocabulary;
  args.segment[u] = lower_bound(args.sorted, args.batch * args.steps, token);
}

}  // namespace

void execute(CudaContext& context, const BeginStep& op) {
  launch(begin_step_kernel, per_block(context.fork(Side::kTokens), 1, 1, {.bytes = 3 * sizeof(StepClock), .loads = 1}),
         {op.clock.data(), op.rows, op.slots});
}

void execute(CudaContext& context, const SelectRows& op) {
  CudaContext& tokens = context.fork(Side::kTokens);
  constexpr int kThreads = 128;
  // Each thread compares its share of the batch's lengths, two loads one after the other.
  const double ranking = op.by_length.empty() ? 0 : std::ceil(static_cast<double>(op.shape.batch) / kThreads);
  launch(select_rows_kernel,
         per_block(tokens, op.shape.batch, kThreads,
                   {.bytes = bytes_of(2 * op.shape.batch * op.shape.steps), .loads = 4 + 2 * ranking}),
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
          .by_length = address_of(op.by_length),
          .labels = address_of(op.labels),
          .targets = address_of(op.targets),
          .weights = address_of(op.weights),
          .key = op.word_dropout_key,
          .clock = op.clock,
          .last_row = op.last_row(),
          .outputs = op.outputs(),
          .word_dropout = op.word_dropout,
          .unknown_id = op.unknown_id,
          .steps = static_cast<int>(op.shape.steps),
          .padding = op.padding});
}

void execute(CudaContext& context, const IndexTokens& op) {
  const auto [B, T] = op.shape;
  const std::int64_t positions = B * T, V = op.index.vocabulary(), U = op.index.capacity();
  const TokenIndex& index = op.index;
  Scratch& scratch = context.side(Side::kSort).scratch;
  scratch.reserve(3 * Scratch::need<std::int32_t>(positions) + 2 * Scratch::need<std::int32_t>(V));
  const IndexArgs kernel_args{.ids = op.ids.data(),
                              .lengths = op.lengths.data(),
                              .keys = scratch.take<std::int32_t>(positions),
                              .positions = scratch.take<std::int32_t>(positions),
                              .sorted = scratch.take<std::int32_t>(positions),
                              .marks = scratch.take<std::int32_t>(V),
                              .sums = scratch.take<std::int32_t>(V),
                              .count = index.count.data(),
                              .tokens = index.tokens.data(),
                              .slot = index.slot.data(),
                              .row_of = index.row_of.data(),
                              .segment = index.segment.data(),
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
  if (lists_vocabulary(U, V)) {
    CudaContext& tokens = context.fork(Side::kTokens);
    launch(list_vocabulary_kernel, over(tokens, all, {.bytes = bytes_of(4 * positions + 2 * V), .loads = 2}),
           kernel_args);
    context.fork(Side::kSort, tokens).platform.sort_pairs(sort);
  } else {
    context.platform.clear(kernel_args.marks, static_cast<std::size_t>(V) * sizeof(std::int32_t));
    context.join(Side::kTokens);
    launch(mark_tokens_kernel, over(context, positions, {.bytes = bytes_of(4 * positions), .loads = 2}), kernel_args);
    context.fork(Side::kSort).platform.sort_pairs(sort);
    context.platform.inclusive_sum({.values = kernel_args.marks, .sums = kernel_args.sums, .count = V});
    launch(list_distinct_kernel, over(context, all, {.bytes = bytes_of(3 * positions + 4 * V), .loads = 2}),
           kernel_args);
    context.fork(Side::kSort);  // which asks for the tokens too
  }
  const auto probes = static_cast<double>(std::bit_width(static_cast<std::uint64_t>(positions)));
  launch(find_segments_kernel,
         over(context.side(Side::kSort), U + 1, {.bytes = bytes_of(positions + 2 * U), .loads = 2 + probes}),
         kernel_args);
}

}  // namespace reel::cuda
