// Gradient clipping by value and by global norm. A block for each kChunk elements sums their squares in double; one
// block adds the blocks' sums. Both orders are fixed.
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/reduce.cuh"

namespace reel::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kChunk = 4096;

struct ClipArgs {
  const std::int32_t* count;  // [1] U
  float* rows;                // [U, E]
  float* dense;               // [D]
  std::int64_t dense_size;
  int embedding_size, row_chunks, chunks;
  float limit;  // 0: none
  double clip_norm;
  double* sums;  // [chunks]
  float* scale;  // [1]
  BatchStats* stats;
};

__global__ void clip_values_kernel(ClipArgs args) {
  REEL_SHARED(double[32], partial);
  const bool dense = static_cast<int>(blockIdx.x) >= args.row_chunks;
  float* const gradient = dense ? args.dense : args.rows;
  const std::int64_t size = dense ? args.dense_size : static_cast<std::int64_t>(args.count[0]) * args.embedding_size;
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) - (dense ? args.row_chunks : 0)) * kChunk;
  const std::int64_t end = first + kChunk < size ? first + kChunk : size;
  double sum = 0;
  for (std::int64_t i = first + threadIdx.x; i < end; i += blockDim.x) {
    float g = gradient[i];
    if (args.limit > 0) {
      g = g < -args.limit ? -args.limit : g > args.limit ? args.limit : g;  // keeps NaN
      gradient[i] = g;
    }
    sum += static_cast<double>(g) * static_cast<double>(g);
  }
  sum = block_sum(sum, &partial[0]);
  if (threadIdx.x == 0) args.sums[blockIdx.x] = sum;
}

__global__ void clip_scale_kernel(ClipArgs args) {
  REEL_SHARED(double[32], partial);
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < args.chunks; i += static_cast<int>(blockDim.x)) sum += args.sums[i];
  sum = block_sum(sum, &partial[0]);
  if (threadIdx.x > 0) return;
  const double norm = sqrt(sum), factor = args.clip_norm / (norm + 1e-6);
  args.stats->grad_norm = norm;
  args.scale[0] = args.clip_norm > 0 && !(factor >= 1) ? static_cast<float>(factor) : 1.0f;
}

}  // namespace

void execute(CudaContext& context, const ClipGradient<float>& op) {
  const ParameterGradient<float>& gradient = op.gradient;
  const std::int64_t row_chunks = (static_cast<std::int64_t>(gradient.rows.size()) + kChunk - 1) / kChunk;
  const auto dense_size = static_cast<std::int64_t>(gradient.dense.size());
  const std::int64_t chunks = row_chunks + (dense_size + kChunk - 1) / kChunk;
  context.scratch.reserve(Scratch::need<double>(chunks));
  const ClipArgs kernel_args{.count = gradient.index.count.data(),
                             .rows = gradient.rows.data(),
                             .dense = gradient.dense.data(),
                             .dense_size = dense_size,
                             .embedding_size = static_cast<int>(gradient.embedding),
                             .row_chunks = static_cast<int>(row_chunks),
                             .chunks = static_cast<int>(chunks),
                             .limit = static_cast<float>(op.clip_value),
                             .clip_norm = op.clip_norm,
                             .sums = context.scratch.take<double>(chunks),
                             .scale = op.scale.data(),
                             .stats = op.stats.data()};
  const auto size = static_cast<std::int64_t>(gradient.rows.size()) + dense_size;
  launch(clip_values_kernel,
         per_block(context, chunks, kThreads, {.bytes = bytes_of(size), .loads = kChunk / kThreads}), kernel_args);
  const auto turns = static_cast<double>((chunks + kThreads - 1) / kThreads);
  launch(clip_scale_kernel, per_block(context, 1, kThreads, {.loads = turns}), kernel_args);
}

}  // namespace reel::cuda
