// Gradient clipping by value and by global norm. A block for each kChunk elements sums their squares in double; the
// last block to end adds the blocks' sums. Both orders are fixed.
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/reduce.cuh"

namespace reel::cuda {
namespace {

constexpr int kThreads = 256, kLoads = 16;  // of a thread, all under way at once
constexpr std::int64_t kChunk = kThreads * kLoads;

struct ClipArgs {
  const std::int32_t* count;  // [1] U
  float* rows;                // [U, E]
  float* dense;               // [D]
  std::int64_t dense_size;
  int embedding_size, row_chunks;
  float limit;  // 0: none
  double clip_norm;
  double* sums;            // [blocks]
  std::uint32_t* arrived;  // [1]
  float* scale;            // [1] or null
  BatchStats* stats;       // of the clock's slot
  const StepClock* clock;  // or null
};

__global__ void clip_kernel(ClipArgs args) {
  REEL_SHARED(double[32], partial);
  const int thread = static_cast<int>(threadIdx.x), blocks = static_cast<int>(gridDim.x);
  const bool dense = static_cast<int>(blockIdx.x) >= args.row_chunks;
  float* const gradient = dense ? args.dense : args.rows;
  const std::int64_t size = dense ? args.dense_size : static_cast<std::int64_t>(args.count[0]) * args.embedding_size;
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) - (dense ? args.row_chunks : 0)) * kChunk + thread;
  float values[kLoads];
#pragma unroll
  for (int i = 0; i < kLoads; ++i) {
    const std::int64_t at = first + i * kThreads;
    values[i] = at < size ? gradient[at] : 0.0f;
  }
  double sum = 0;
#pragma unroll
  for (int i = 0; i < kLoads; ++i) {
    float g = values[i];
    if (args.limit > 0) {
      g = g < -args.limit ? -args.limit : g > args.limit ? args.limit : g;  // keeps NaN
      const std::int64_t at = first + i * kThreads;
      if (at < size) gradient[at] = g;
    }
    sum += static_cast<double>(g) * static_cast<double>(g);
  }
  sum = block_sum(sum, &partial[0]);
  if (thread == 0) args.sums[blockIdx.x] = sum;
  if (!is_last_block(args.arrived, gridDim.x)) return;
  sum = 0;
  for (int i = thread; i < blocks; i += kThreads) sum += args.sums[i];
  sum = block_sum(sum, &partial[0]);
  if (thread > 0) return;
  const double norm = sqrt(sum), factor = args.clip_norm / (norm + 1e-6);
  args.stats[slot_at(args.clock)].grad_norm = norm;
  if (args.scale == nullptr) return;
  args.scale[0] = args.clip_norm > 0 && !(factor >= 1) ? static_cast<float>(factor) : 1.0f;
}

}  // namespace

void execute(CudaContext& context, const ClipGradient<float>& op) {
  const ParameterGradient<float>& gradient = op.gradient;
  // Nothing is clipped: the optimizer need not wait for the norm.
  CudaContext& on = op.scale.empty() && op.clip_value <= 0 ? context.fork(Side::kNorm) : context;
  const std::int64_t row_chunks = (static_cast<std::int64_t>(gradient.rows.size()) + kChunk - 1) / kChunk;
  const auto dense_size = static_cast<std::int64_t>(gradient.dense.size());
  const std::int64_t chunks = row_chunks + (dense_size + kChunk - 1) / kChunk;
  const std::int64_t size = static_cast<std::int64_t>(gradient.rows.size()) + dense_size;
  const auto turns = static_cast<double>((chunks + kThreads - 1) / kThreads);
  on.scratch.reserve(Scratch::need<double>(chunks));
  launch(clip_kernel,
         per_block(on, chunks, kThreads,
                   {.bytes = bytes_of(op.clip_value > 0 ? 2 * size : size), .loads = 2, .last_loads = 1 + turns}),
         {.count = gradient.index.count.data(),
          .rows = gradient.rows.data(),
          .dense = gradient.dense.data(),
          .dense_size = dense_size,
          .embedding_size = static_cast<int>(gradient.embedding),
          .row_chunks = static_cast<int>(row_chunks),
          .limit = static_cast<float>(op.clip_value),
          .clip_norm = op.clip_norm,
          .sums = on.scratch.take<double>(chunks),
          .arrived = on.arrived,
          .scale = address_of(op.scale),
          .stats = op.stats.data(),
          .clock = op.clock});
}

}  // namespace reel::cuda
