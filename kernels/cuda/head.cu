// Pooling, dropout, the output layer and the loss.
//
// Forward: a block for each batch row, a thread for each column; the mean is summed in the order of time. Backward: the
// same blocks write d_state and what the row contributes to the loss; then sums over the batch, each by kSlices
// interleaved slices that are added in order.
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/elementwise.cuh"
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
  const float* fc_weight;       // [P]
  const float* fc_bias;         // [1]
  float* pooled;                // [B, P]
  std::int32_t* argmax;         // [D, B, H] or null
  float* logits;                // [B]
  RandomKey key;
  float dropout;
  int batch, hidden, directions, width;
  Pool pool;
};

__device__ inline float pool_column(const ForwardArgs& args, int b, int j) {
  const PooledColumn column(j, args.directions, args.hidden);
  const Pool pool = pooled_part(args.pool, column.part);
  const int length = args.lengths[b];
  const std::size_t step = static_cast<std::size_t>(args.batch) * args.hidden;
  const float* const states = column.direction == 0 ? args.h : args.h_reverse;
  const float* const h = states + static_cast<std::size_t>(b) * args.hidden + column.unit;
  if (pool == Pool::kLast) return h[length * step];
  if (pool == Pool::kMax) {
    float largest = length > 0 ? h[step] : 0.0f;
    int where = length > 0 ? 0 : -1;
    for (int t = 2; t <= length; ++t) {
      const float value = h[t * step];
      if (!(value > largest || value != value)) continue;  // NaN stays
      largest = value;
      where = t - 1;
    }
    args.argmax[column.direction * step + static_cast<std::size_t>(b) * args.hidden + column.unit] = where;
    return largest;
  }
  float sum = 0;
  for (int t = 1; t <= length; ++t) sum += h[t * step];
  return length > 0 ? sum / static_cast<float>(length) : 0.0f;
}

__global__ void head_forward_kernel(ForwardArgs args) {
  REEL_SHARED(float[32], partial);
  const int b = static_cast<int>(blockIdx.x);
  float product = 0;
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    const std::size_t i = static_cast<std::size_t>(b) * args.width + j;
    const float pooled = pool_column(args, b, j) * dropout_factor(args.dropout, args.key, i);
    args.pooled[i] = pooled;
    product = fmaf(pooled, args.fc_weight[j], product);
  }
  const float logit = block_sum(product, &partial[0]);
  if (threadIdx.x == 0) args.logits[b] = logit + args.fc_bias[0];
}

struct BackwardArgs {
  const std::int32_t* labels;   // [B]
  const std::int32_t* lengths;  // [B]
  const float* logits;          // [B]
  const float* pooled;          // [B, P]
  const float* fc_weight;       // [P]
  RandomKey key;
  float dropout;
  int batch, hidden, directions, width;
  float* d_logits;     // [B] scratch
  BatchStats* stats;   // [1]
  float* d_fc_weight;  // [P]
  float* d_fc_bias;    // [1]
  float* d_state;      // [parts, D, B, H]
  Pool pool;
};

/// d_logits and d_state: a block for each batch row.
__global__ void head_rows_kernel(BackwardArgs args) {
  const int b = static_cast<int>(blockIdx.x);
  const float probability = 1.0f / (1.0f + expf(-args.logits[b]));
  const float d_logit = (probability - static_cast<float>(args.labels[b])) / static_cast<float>(args.batch);
  if (threadIdx.x == 0) args.d_logits[b] = d_logit;
  const int length = args.lengths[b];
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    const std::size_t i = static_cast<std::size_t>(b) * args.width + j;
    const float d_pooled = d_logit * args.fc_weight[j] * dropout_factor(args.dropout, args.key, i);
    const PooledColumn column(j, args.directions, args.hidden);
    const bool mean = pooled_part(args.pool, column.part) == Pool::kMean;
    const std::size_t row = static_cast<std::size_t>(j / args.hidden) * args.batch + b;
    args.d_state[row * args.hidden + column.unit] = !mean        ? d_pooled
                                                    : length > 0 ? d_pooled / static_cast<float>(length)
                                                                 : 0.0f;
  }
}

constexpr int kColumns = 32, kSlices = 8;  // of the kernel below

/// d_fc_weight: a block for each kColumns columns, kSlices threads a column.
__global__ void head_weights_kernel(BackwardArgs args) {
  REEL_SHARED(float[kSlices][kColumns], sums);
  const int column = static_cast<int>(threadIdx.x) % kColumns, slice = static_cast<int>(threadIdx.x) / kColumns;
  const int j = static_cast<int>(blockIdx.x) * kColumns + column;
  float sum = 0;
  for (int b = slice; j < args.width && b < args.batch; b += kSlices) {
    sum = fmaf(args.d_logits[b], args.pooled[static_cast<std::size_t>(b) * args.width + j], sum);
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
    const double x = args.logits[b];
    const int label = args.labels[b];
    loss += (x > 0 ? x : x != x ? x : 0.0) - x * label + log1p(exp(-fabs(x)));
    correct += (x > 0) == (label != 0) ? 1 : 0;
    d_bias += static_cast<double>(args.d_logits[b]);
  }
  loss = block_sum(loss, &partial[0]);
  correct = block_sum(correct, &partial[0]);
  d_bias = block_sum(d_bias, &partial[0]);
  if (threadIdx.x > 0) return;
  args.stats->loss_sum = loss;
  args.stats->correct = correct;
  args.stats->grad_norm = 0;
  args.d_fc_bias[0] = static_cast<float>(d_bias);
}

}  // namespace

void execute(CudaContext& context, const HeadForward<float>& op) {
  launch(head_forward_kernel, per_block(context, op.shape.batch, kThreads),
         {op.lengths.data(), op.h.data(), op.h_reverse.data(), op.fc_weight.data(), op.fc_bias.data(), op.pooled.data(),
          op.argmax.data(), op.logits.data(), op.dropout_key, op.dropout, static_cast<int>(op.shape.batch),
          static_cast<int>(op.shape.hidden), static_cast<int>(op.directions()), static_cast<int>(op.pooled_width()),
          op.pool});
}

void execute(CudaContext& context, const HeadBackward<float>& op) {
  const std::int64_t B = op.shape.batch, P = op.pooled_width();
  context.scratch.reserve(Scratch::need<float>(B));
  const BackwardArgs kernel_args{.labels = op.labels.data(),
                                 .lengths = op.lengths.data(),
                                 .logits = op.logits.data(),
                                 .pooled = op.pooled.data(),
                                 .fc_weight = op.fc_weight.data(),
                                 .key = op.dropout_key,
                                 .dropout = op.dropout,
                                 .batch = static_cast<int>(B),
                                 .hidden = static_cast<int>(op.shape.hidden),
                                 .directions = static_cast<int>(op.directions),
                                 .width = static_cast<int>(P),
                                 .d_logits = context.scratch.take<float>(B),
                                 .stats = op.stats.data(),
                                 .d_fc_weight = op.d_fc_weight.data(),
                                 .d_fc_bias = op.d_fc_bias.data(),
                                 .d_state = op.d_state.data(),
                                 .pool = op.pool};
  launch(head_rows_kernel, per_block(context, B, kThreads), kernel_args);
  launch(head_weights_kernel, per_block(context, (P + kColumns - 1) / kColumns, kColumns * kSlices), kernel_args);
  launch(head_stats_kernel, per_block(context, 1, 256), kernel_args);
}

}  // namespace reel::cuda
