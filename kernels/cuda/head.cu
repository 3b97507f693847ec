// Pooling, dropout, the output layer and the loss.
//
// Forward: a block for each batch row, a thread for each column; the mean is summed in the order of time. Backward, of
// one logit: the same blocks write d_state and what the row contributes to the loss; then sums over the batch, each by
// kSlices interleaved slices that are added in order. Of several logits: cuBLAS multiplies by the weights, and the loss
// has kernels of its own (losses.cu).
#include <cuda_fp16.h>

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/losses.cuh"
#include "kernels/cuda/losses.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/reduce.cuh"

namespace reel::cuda {
namespace {

constexpr int kThreads = 128;

/// Where a column of the pooled state is from.
struct PooledColumn {
  int part, direction, unit;

  __device__ PooledColumn(int column, int directions, int hidden)
      : part(column / hidden / directions), direction(column / hidden % directions), unit(column % hidden) {}
};

struct ForwardArgs {
  const std::int32_t* lengths;  // [B]
  const float *h, *h_reverse;   // [T+1, B, H]; the latter or null
  const float* fc_weight;       // [C, P]
  const float* fc_bias;         // [C]
  float* pooled;                // [B, P]
  std::int32_t* argmax;         // [D, B, H] or null
  float* logits;                // [B, C]
  RandomKey key;
  const StepClock* clock;  // or null
  std::int64_t outputs;    // C
  float dropout;
  int batch, hidden, directions, width;
  Pool pool;
  std::int64_t packed;  // 0 or 1: both h are fp16
};

__device__ inline float pool_column(const ForwardArgs& args, int b, int j) {
  const PooledColumn column(j, args.directions, args.hidden);
  const Pool pool = pooled_part(args.pool, column.part);
  const int length = args.lengths[b];
  const std::size_t step = static_cast<std::size_t>(args.batch) * args.hidden;
  const float* const states = column.direction == 0 ? args.h : args.h_reverse;
  const std::size_t first = static_cast<std::size_t>(b) * args.hidden + column.unit;
  const auto h = [&](int t) {
    const std::size_t i = first + t * step;
    return args.packed ? __half2float(reinterpret_cast<const __half*>(states)[i]) : states[i];
  };
  if (pool == Pool::kLast) return h(length);
  if (pool == Pool::kMax) {
    float largest = length > 0 ? h(1) : 0.0f;
    int where = length > 0 ? 0 : -1;
    for (int t = 2; t <= length; ++t) {
      const float value = h(t);
      if (!(value > largest || value != value)) continue;  // NaN stays
      largest = value;
      where = t - 1;
    }
    args.argmax[column.direction * step + static_cast<std::size_t>(b) * args.hidden + column.unit] = where;
    return largest;
  }
  float sum = 0;
  for (int t = 1; t <= length; ++t) sum += h(t);
  return length > 0 ? sum / static_cast<float>(length) : 0.0f;
}

__device__ inline float drop_and_keep(const ForwardArgs& args, int b, int j) {
  const std::size_t i = static_cast<std::size_t>(b) * args.width + j;
  const float pooled = pool_column(args, b, j) * dropout_factor(args.dropout, args.key, args.clock, i);
  args.pooled[i] = pooled;
  return pooled;
}

/// Of one logit.
__global__ void head_forward_kernel(ForwardArgs args) {
  REEL_SHARED(float[32], partial);
  const int b = static_cast<int>(blockIdx.x);
  float product = 0;
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    product = fmaf(drop_and_keep(args, b, j), args.fc_weight[j], product);
  }
  const float logit = block_sum(product, &partial[0]);
  if (threadIdx.x == 0) args.logits[b] = logit + args.fc_bias[0];
}

/// Of several: the pooled states, and logits that are the bias so far.
__global__ void pool_rows_kernel(ForwardArgs args) {
  const int b = static_cast<int>(blockIdx.x), first = static_cast<int>(threadIdx.x);
  const int step = static_cast<int>(blockDim.x);
  for (int j = first; j < args.width; j += step) drop_and_keep(args, b, j);
  for (std::int64_t c = first; c < args.outputs; c += step) args.logits[b * args.outputs + c] = args.fc_bias[c];
}

struct BackwardArgs {
  LossArgs loss;
  const std::int32_t* lengths;  // [B]
  const float* pooled;          // [B, P]
  const float* fc_weight;       // [P], of one logit
  const float* d_pooled;        // [B, P] scratch, of several
  RandomKey key;
  const StepClock* clock;  // or null
  float* d_logits;         // [B, C] scratch
  BatchStats* stats;       // of the clock's slot
  float* d_fc_weight;      // [P]
  float* d_fc_bias;        // [1]
  float* d_state;          // [parts, D, B, H]
  float dropout;
  int batch, hidden, directions, width;
  Pool pool;
};

/// What flows into the state of row b that column j has pooled.
__device__ inline void unpool_column(const BackwardArgs& args, int b, int j, int length, float d_column) {
  const std::size_t i = static_cast<std::size_t>(b) * args.width + j;
  const float d_pooled = d_column * dropout_factor(args.dropout, args.key, args.clock, i);
  const PooledColumn column(j, args.directions, args.hidden);
  const bool mean = pooled_part(args.pool, column.part) == Pool::kMean;
  const std::size_t row = static_cast<std::size_t>(j / args.hidden) * args.batch + b;
  args.d_state[row * args.hidden + column.unit] = !mean        ? d_pooled
                                                  : length > 0 ? d_pooled / static_cast<float>(length)
                                                               : 0.0f;
}

/// d_state, of several logits: a block for each batch row.
__global__ void unpool_rows_kernel(BackwardArgs args) {
  const int b = static_cast<int>(blockIdx.x), length = args.lengths[b];
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    unpool_column(args, b, j, length, args.d_pooled[static_cast<std::size_t>(b) * args.width + j]);
  }
}

/// d_logits and d_state, of one logit: a block for each batch row.
__global__ void head_rows_kernel(BackwardArgs args) {
  const int b = static_cast<int>(blockIdx.x);
  const float gradient = logit_gradient(args.loss, 0, args.loss.logits[b], target_of(args.loss, b, 0));
  const float d_logit = mean_gradient(args.loss, b, gradient);
  if (threadIdx.x == 0) args.d_logits[b] = d_logit;
  const int length = args.lengths[b];
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    unpool_column(args, b, j, length, d_logit * args.fc_weight[j]);
  }
}

constexpr int kColumns = 32, kSlices = 8;  // of the kernel below

/// d_fc_weight: a block for each kColumns columns, kSlices threads a column.
__global__ void head_weights_kernel(BackwardArgs args) {
  REEL_SHARED(float[kSlices][kColumns], sums);
  const int column = static_cast<int>(threadIdx.x) % kColumns, slice = static_cast<int>(threadIdx.x) / kColumns;
  const int j = static_cast<int>(blockIdx.x) * kColumns + column;
  float sum = 0;
  for (int first = slice; j < args.width && first < args.batch; first += kSlices * kLoadsAtOnce) {
    float d_logits[kLoadsAtOnce], pooled[kLoadsAtOnce];
#pragma unroll
    for (int i = 0; i < kLoadsAtOnce; ++i) {
      const int b = first + i * kSlices;
      d_logits[i] = b < args.batch ? args.d_logits[b] : 0;
      pooled[i] = b < args.batch ? args.pooled[static_cast<std::size_t>(b) * args.width + j] : 0;
    }
#pragma unroll
    for (int i = 0; i < kLoadsAtOnce; ++i) {
      if (first + i * kSlices < args.batch) sum = fmaf(d_logits[i], pooled[i], sum);
    }
  }
  sums[slice][column] = sum;
  __syncthreads();
  if (slice > 0 || j >= args.width) return;
  for (int s = 1; s < kSlices; ++s) sum += sums[s][column];
  args.d_fc_weight[j] = sum;
}

/// Loss, accuracy and d_fc_bias: one block.
__global__ void head_stats_kernel(BackwardArgs args) {
  REEL_SHARED(double[32], partial);
  double loss = 0, correct = 0, d_bias = 0;
  for (int b = static_cast<int>(threadIdx.x); b < args.batch; b += static_cast<int>(blockDim.x)) {
    const double x = args.loss.logits[b];
    const float y = target_of(args.loss, b, 0);
    loss += logit_loss(args.loss, 0, x, y) * static_cast<double>(weight_of(args.loss, b));
    correct += logit_is_right(args.loss, x, y) ? 1 : 0;
    d_bias += static_cast<double>(args.d_logits[b]);
  }
  loss = block_sum(loss, &partial[0]);
  correct = block_sum(correct, &partial[0]);
  d_bias = block_sum(d_bias, &partial[0]);
  if (threadIdx.x > 0) return;
  args.stats[slot_at(args.clock)] = {.loss_sum = loss, .correct = correct, .grad_norm = 0};
  args.d_fc_bias[0] = static_cast<float>(d_bias);
}

}  // namespace

void execute(CudaContext& context, const HeadForward<float>& op) {
  const std::int64_t B = op.shape.batch, P = op.pooled_width(), C = op.outputs();
  const ForwardArgs kernel_args{.lengths = op.lengths.data(),
                                .h = op.h.data(),
                                .h_reverse = op.h_reverse.data(),
                                .fc_weight = op.fc_weight.data(),
                                .fc_bias = op.fc_bias.data(),
                                .pooled = op.pooled.data(),
                                .argmax = op.argmax.data(),
                                .logits = op.logits.data(),
                                .key = op.dropout_key,
                                .clock = op.clock,
                                .outputs = C,
                                .dropout = op.dropout,
                                .batch = static_cast<int>(B),
                                .hidden = static_cast<int>(op.shape.hidden),
                                .directions = static_cast<int>(op.directions()),
                                .width = static_cast<int>(P),
                                .pool = op.pool,
                                .packed = op.packed};
  // Of the poolings some read all steps.
  const std::int64_t states = op.pool == Pool::kLast ? B * P : op.shape.steps * B * P;
  const Work work{.bytes = bytes_of(states + B * P),
                  .loads = op.pool == Pool::kLast ? 2.0 : static_cast<double>(op.shape.steps)};
  launch(C == 1 ? head_forward_kernel : pool_rows_kernel, per_block(context, B, kThreads, work), kernel_args);
  if (C == 1) return;
  context.platform.product({.m = B,
                            .n = C,
                            .k = P,
                            .a = op.pooled.data(),
                            .b = op.fc_weight.data(),
                            .c = op.logits.data(),
                            .b_transposed = true,
                            .beta = 1.0f});
}

void execute(CudaContext& context, const HeadBackward<float>& op) {
  const std::int64_t B = op.shape.batch, P = op.pooled_width(), C = op.outputs();
  const bool one_logit = C == 1 && op.loss != Loss::kSoftmax;
  ColumnSums bias{.matrix = nullptr, .rows = B, .stride = C, .columns = C, .sums = op.d_fc_bias.data()};
  const std::size_t of_several = Scratch::need<float>(B * P) + losses_scratch(op) + bias.scratch();
  Scratch& scratch = one_logit ? context.side(Side::kHead).scratch : context.scratch;
  scratch.reserve(Scratch::need<float>(B * C) + (one_logit ? 0 : of_several));
  float* const d_logits = scratch.take<float>(B * C);
  float* const d_pooled = one_logit ? nullptr : context.scratch.take<float>(B * P);
  const BackwardArgs kernel_args{.loss = loss_args(op),
                                 .lengths = op.lengths.data(),
                                 .pooled = op.pooled.data(),
                                 .fc_weight = op.fc_weight.data(),
                                 .d_pooled = d_pooled,
                                 .key = op.dropout_key,
                                 .clock = op.clock,
                                 .d_logits = d_logits,
                                 .stats = op.stats.data(),
                                 .d_fc_weight = op.d_fc_weight.data(),
                                 .d_fc_bias = op.d_fc_bias.data(),
                                 .d_state = op.d_state.data(),
                                 .dropout = op.dropout,
                                 .batch = static_cast<int>(B),
                                 .hidden = static_cast<int>(op.shape.hidden),
                                 .directions = static_cast<int>(op.directions),
                                 .width = static_cast<int>(P),
                                 .pool = op.pool};
  if (one_logit) {
    launch(head_rows_kernel, per_block(context, B, kThreads, {.bytes = bytes_of(B * P), .loads = 2}), kernel_args);
    CudaContext& side = context.fork(Side::kHead);
    const auto rows = static_cast<double>((B + kSlices * kLoadsAtOnce - 1) / (kSlices * kLoadsAtOnce));
    launch(
        head_weights_kernel,
        per_block(side, (P + kColumns - 1) / kColumns, kColumns * kSlices, {.bytes = bytes_of(B * P), .loads = rows}),
        kernel_args);
    launch(head_stats_kernel,
           per_block(side, 1, 256, {.bytes = bytes_of(3 * B), .loads = static_cast<double>((B + 255) / 256)}),
           kernel_args);
    return;
  }
  measure_losses(context, op, d_logits);
  context.platform.product({.m = B, .n = P, .k = C, .a = d_logits, .b = op.fc_weight.data(), .c = d_pooled});
  launch(unpool_rows_kernel, per_block(context, B, kThreads, {.bytes = bytes_of(2 * B * P), .loads = 2}), kernel_args);
  context.platform.product(
      {.m = C, .n = P, .k = B, .a = d_logits, .b = op.pooled.data(), .c = op.d_fc_weight.data(), .a_transposed = true});
  bias.matrix = d_logits;
  sum_columns(context, bias);
}

}  // namespace reel::cuda
