// The embedding with the input projection, and its gradient.
//
// projected = rows . W_ih^T + bias is one product over all slots of the index. Where those are the whole vocabulary,
// `rows` is the embedding table itself; otherwise the rows of its tokens are gathered first (0 beyond U, so that the
// products may run over the index's capacity and no size has to come back from the device).
//
// Gradient: positions are sorted by token. First level: a block for each kChunk sorted positions sums d_input by token,
// in order. A token within one chunk is done; one that spans chunks leaves a partial sum in each: slot 0 if it began
// earlier, 1 if it begins here. Second level: a block for each chunk adds the partial sums of the token that begins in
// it and ends in a later one, in order. The bias's gradient is the sum of all positions: the first level leaves it of
// each chunk. All orders are fixed by the index, so the bits are too.
#include <cuda_bf16.h>

#include <algorithm>

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/projection.h"
#include "kernels/cuda/reduce.cuh"

namespace reel::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kChunk = 64, kLoads = 16;  // of which so many at once, since stores between them would part them

struct FillArgs {
  const float* row;  // [W]
  float* out;        // [rows, W]
  std::int64_t rows, width;

  __device__ void fill(std::int64_t i) const {
    if (i < rows * width) out[i] = row[i % width];
  }
};

__global__ void fill_rows_kernel(FillArgs args) { args.fill(global_thread()); }

struct GatherArgs {
  const std::int32_t* count;   // [1] U
  const std::int32_t* tokens;  // [U]
  const float* embedding;      // [V, E]
  float* rows;                 // [slots, E]
  std::int64_t slots, embedding_size;
  FillArgs filled;  // besides, if it has rows
};

__global__ void gather_rows_kernel(GatherArgs args) {
  const std::int64_t i = global_thread();
  args.filled.fill(i);
  if (i >= args.slots * args.embedding_size) return;
  const auto u = static_cast<int>(i / args.embedding_size), e = static_cast<int>(i % args.embedding_size);
  args.rows[i] = u < args.count[0] ? args.embedding[args.tokens[u] * args.embedding_size + e] : 0.0f;
}

struct ScaleRowsArgs {
  const std::int32_t* count;   // [1] U
  const std::int32_t* tokens;  // [U]
  const float* bias;           // [W], added after, or null
  float* rows;                 // [slots, W]
  std::int64_t slots;
  int width;
  EmbeddingDropout dropout;
};

/// Each token's row times its dropout.
__global__ void scale_rows_kernel(ScaleRowsArgs args) {
  const std::int64_t i = global_thread();
  if (i >= args.slots * args.width) return;
  const auto u = static_cast<int>(i / args.width), j = static_cast<int>(i % args.width);
  if (u >= args.count[0]) return;
  const float factor =
      dropout_factor(args.dropout.rate, args.dropout.key, args.dropout.clock, static_cast<std::size_t>(args.tokens[u]));
  args.rows[i] = fmaf(args.rows[i], factor, args.bias == nullptr ? 0.0f : args.bias[j]);
}

struct SumArgs {
  const std::int32_t* count;     // [1] U
  const std::int32_t* row_of;    // [B, T]
  const std::int32_t* segment;   // [U + 1]
  const std::int32_t* position;  // [segment[U]], sorted by token
  const float* d_input;          // [T, B, W], or bfloat16 there
  std::int32_t* spanning;        // [chunks] the token that begins there and ends in a later chunk, or -1
  float* partial;                // [chunks][2][W]
  float* totals;                 // [chunks][W] of all positions, or null
  float* sums;                   // [slots, W], 0 where a token has no position
  int batch, steps, width, slots;
};

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

/// Where the sum of token u over `chunk` is written: to its own row, or to one of the chunk's two partial sums.
__device__ inline float* sum_of(const SumArgs& args, int u, int chunk) {
  const int begin = args.segment[u], end = args.segment[u + 1], first = chunk * kChunk;
  if (begin >= first && end <= first + kChunk) return args.sums + static_cast<std::int64_t>(u) * args.width;
  return args.partial + (static_cast<std::int64_t>(chunk) * 2 + (begin < first ? 0 : 1)) * args.width;
}

/// Tokens without a position, of a block's share of the slots. `unused` is shared memory.
__device__ inline void clear_unused(const SumArgs& args, bool (&unused)[kThreads]) {
  const int thread = static_cast<int>(threadIdx.x), count = args.count[0];
  const auto share = [&](std::int64_t block) { return static_cast<int>(block * args.slots / gridDim.x); };
  const int end = share(blockIdx.x + std::int64_t{1});
  for (int first = share(blockIdx.x); first < end; first += kThreads) {
    const int u = first + thread;
    unused[thread] = u < end && (u >= count || args.segment[u] == args.segment[u + 1]);
    __syncthreads();
    for (int i = 0; i < kThreads && first + i < end; ++i) {
      float* const sums = args.sums + static_cast<std::int64_t>(first + i) * args.width;
      for (int j = thread; unused[i] && j < args.width; j += kThreads) sums[j] = 0;
    }
    __syncthreads();
  }
}

/// A block for each chunk of sorted positions; a thread for each column. Number: of d_input.
template <class Number>
__global__ void sum_chunks_kernel(SumArgs args) {
  REEL_SHARED(int[kChunk], positions);
  REEL_SHARED(int[kChunk], slots);
  REEL_SHARED(float* [kChunk], targets);  // where a sum that ends here goes, or null
  REEL_SHARED(bool[kThreads], unused);
  const int chunk = static_cast<int>(blockIdx.x), first = chunk * kChunk;
  const int left = args.segment[args.count[0]] - first;
  const int size = left < kChunk ? left : kChunk;
  clear_unused(args, unused);
  for (int i = static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) {
    const int position = args.position[first + i];
    positions[i] = position;
    slots[i] = args.row_of[position % args.batch * args.steps + position / args.batch];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) {
    targets[i] = i + 1 == size || slots[i + 1] != slots[i] ? sum_of(args, slots[i], chunk) : nullptr;
  }
  if (threadIdx.x == 0) {
    const int last = size > 0 ? slots[size - 1] : 0;
    const bool spans = size > 0 && args.segment[last] >= first && args.segment[last + 1] > first + kChunk;
    args.spanning[chunk] = spans ? last : -1;
  }
  __syncthreads();
  const auto* const d_input = reinterpret_cast<const Number*>(args.d_input);
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    float sum = 0, total = 0;
    for (int begin = 0; begin < size; begin += kLoads) {
      float values[kLoads];
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        const bool there = begin + i < size;
        values[i] = there ? to_float(d_input[static_cast<std::int64_t>(positions[begin + i]) * args.width + j]) : 0.0f;
      }
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        if (begin + i >= size) break;
        sum += values[i];
        float* const target = targets[begin + i];
        if (target == nullptr) continue;
        target[j] = sum;
        total += sum;
        sum = 0;
      }
    }
    if (args.totals != nullptr) args.totals[static_cast<std::int64_t>(chunk) * args.width + j] = total;
  }
}

/// A block for each chunk.
__global__ void add_chunks_kernel(SumArgs args) {
  const auto chunk = static_cast<int>(blockIdx.x);
  const int u = args.spanning[chunk];
  if (u < 0) return;
  const int last = (args.segment[u + 1] - 1) / kChunk;
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    const float* const partial = args.partial + static_cast<std::int64_t>(chunk) * 2 * args.width + j;
    args.sums[static_cast<std::int64_t>(u) * args.width + j] =
        add_in_order(partial[args.width], partial + 2 * args.width, std::int64_t{2} * args.width, last - chunk);
  }
}

void fill_rows(CudaContext& context, const FillArgs& args) {
  const std::int64_t size = args.rows * args.width;
  if (size > 0) launch(fill_rows_kernel, over(context, size, {.bytes = bytes_of(size), .loads = 1}), args);
}

/// The embedding rows of the slots of a list of distinct tokens with room for U; `whole`: it is the vocabulary. Fills
/// rows besides.
const float* rows_of(CudaContext& context, Scratch& scratch, bool whole, std::span<const std::int32_t> count,
                     std::span<const std::int32_t> tokens, std::span<const float> embedding, std::int64_t E,
                     const FillArgs& filled = {}) {
  if (whole) {
    fill_rows(context, filled);
    return embedding.data();
  }
  const auto U = static_cast<std::int64_t>(tokens.size()), filling = filled.rows * filled.width;
  float* const rows = scratch.take<float>(U * E);
  launch(gather_rows_kernel,
         over(context, std::max(U * E, filling), {.bytes = bytes_of(2 * U * E + filling), .loads = 2}),
         {count.data(), tokens.data(), embedding.data(), rows, U, E, filled});
  return rows;
}

std::int64_t chunks_of(const BatchShape& shape) { return (shape.batch * shape.steps + kChunk - 1) / kChunk; }

struct AddRowsArgs {
  const std::int32_t* count;   // [1] U
  const std::int32_t* tokens;  // [U]
  const float* sums;           // [slots, W]
  float* rows;                 // [slots, W]
  std::int64_t slots;
  int width;
  int accumulate;  // 0 or 1
  EmbeddingDropout dropout;
};

/// Each token's sum times its dropout, in place of a row or added to it.
__global__ void add_rows_kernel(AddRowsArgs args) {
  const std::int64_t i = global_thread();
  if (i >= args.slots * args.width) return;
  const auto u = static_cast<int>(i / args.width);
  const float factor = u < args.count[0] ? dropout_factor(args.dropout.rate, args.dropout.key, args.dropout.clock,
                                                          static_cast<std::size_t>(args.tokens[u]))
                                         : 0.0f;
  args.rows[i] = fmaf(args.sums[i], factor, args.accumulate ? args.rows[i] : 0.0f);
}

/// The first level, of d_input [T, B, width], packed or not, into `sums`, which has room for U rows; `totals`:
/// [chunks][width], or null. Takes sums_scratch().
SumArgs sum_chunks(CudaContext& context, Scratch& scratch, const ProjectionGradient<float>& op, const float* d_input,
                   bool packed, std::int64_t width, float* totals, float* sums) {
  const auto [B, T] = op.shape;
  const std::int64_t chunks = chunks_of(op.shape), U = op.index.capacity();
  const SumArgs args{.count = op.index.count.data(),
                     .row_of = op.index.row_of.data(),
                     .segment = op.index.segment.data(),
                     .position = op.index.position.data(),
                     .d_input = d_input,
                     .spanning = scratch.take<std::int32_t>(chunks),
                     .partial = scratch.take<float>(chunks * 2 * width),
                     .totals = totals,
                     .sums = sums,
                     .batch = static_cast<int>(B),
                     .steps = static_cast<int>(T),
                     .width = static_cast<int>(width),
                     .slots = static_cast<int>(U)};
  const std::int64_t read = packed_size(B * T * width, packed);
  launch(packed ? sum_chunks_kernel<__nv_bfloat16> : sum_chunks_kernel<float>,
         per_block(context, chunks, kThreads, {.bytes = bytes_of(read + U * width), .loads = 6 + kChunk / kLoads}),
         args);
  return args;
}

/// The second level.
void add_chunks(CudaContext& context, const ProjectionGradient<float>& op, const SumArgs& args) {
  const std::int64_t chunks = chunks_of(op.shape);
  // Of a token that spans many chunks, the more the more frequent it is: at most all of them, a twentieth in reviews.
  const double spanned = 1 + static_cast<double>(chunks) / (20 * kLoadsAtOnce);
  launch(add_chunks_kernel,
         per_block(context, chunks, kThreads, {.bytes = bytes_of(2 * chunks * args.width), .loads = 2 + spanned}),
         args);
}

std::size_t sums_scratch(const BatchShape& shape, std::int64_t width) {
  return Scratch::need<std::int32_t>(chunks_of(shape)) + Scratch::need<float>(chunks_of(shape) * 2 * width);
}

}  // namespace

void execute(CudaContext& context, const ProjectTokens<float>& op) {
  const std::int64_t U = op.rows(), E = op.embedding_width(), W = op.width();
  const bool whole = lists_vocabulary(op.rows(), op.vocabulary());
  if (!whole) context.scratch.reserve(Scratch::need<float>(U * E));
  const bool drops = op.dropout.rate > 0;
  const float* const rows = rows_of(context, context.scratch, whole, op.count, op.tokens, op.embedding, E,
                                    {op.bias.data(), op.projected.data(), drops ? 0 : U, W});
  context.platform.product({.m = U,
                            .n = W,
                            .k = E,
                            .a = rows,
                            .b = op.w_ih.data(),
                            .c = op.projected.data(),
                            .b_transposed = true,
                            .beta = drops ? 0.0f : 1.0f});
  if (!drops) return;
  launch(scale_rows_kernel, over(context, U * W, {.bytes = bytes_of(2 * U * W), .loads = 2}),
         {op.count.data(), op.tokens.data(), op.bias.data(), op.projected.data(), U, static_cast<int>(W), op.dropout});
}

void execute(CudaContext& context, const ProjectionGradient<float>& op) {
  const std::int64_t U = op.index.capacity(), E = op.embedding_width(), W = op.width(), chunks = chunks_of(op.shape);
  const bool whole = lists_vocabulary(op.index.capacity(), op.index.vocabulary()), drops = op.dropout.rate > 0;
  const float* const d_projected = op.d_projected.data();
  ColumnSums bias{.matrix = nullptr, .rows = chunks, .stride = W, .columns = W, .sums = op.d_bias.data()};
  Scratch& scratch = context.side(Side::kHead).scratch;
  scratch.reserve(sums_scratch(op.shape, W) + Scratch::need<float>(chunks * W) + bias.scratch() +
                  Scratch::need<float>(whole ? 0 : U * E));
  CudaContext& gathering = whole ? context : context.fork(Side::kInput);
  const float* const rows = rows_of(gathering, scratch, whole, op.index.count, op.index.tokens, op.embedding, E);
  float* const totals = scratch.take<float>(chunks * W);
  bias.matrix = totals;
  const SumArgs chunk_sums =
      sum_chunks(context, scratch, op, op.d_input.data(), op.packed, W, totals, op.d_projected.data());
  sum_columns(context.fork(Side::kHead), bias);
  add_chunks(context, op, chunk_sums);
  if (drops) {
    launch(scale_rows_kernel, over(context, U * W, {.bytes = bytes_of(2 * U * W), .loads = 2}),
           {op.index.count.data(), op.index.tokens.data(), nullptr, op.d_projected.data(), U, static_cast<int>(W),
            op.dropout});
  }
  CudaContext& input = context.fork(Side::kInput);
  input.platform.product(
      {.m = W, .n = E, .k = U, .a = d_projected, .b = rows, .c = op.d_w_ih.data(), .a_transposed = true});
  context.platform.product({.m = U,
                            .n = E,
                            .k = W,
                            .a = d_projected,
                            .b = op.w_ih.data(),
                            .c = op.d_embedding.data(),
                            .beta = op.accumulate ? 1.0f : 0.0f});
}

std::size_t row_gradient_scratch(const ProjectionGradient<float>& op) {
  const std::int64_t E = op.embedding_width();
  return sums_scratch(op.shape, E) + Scratch::need<float>(op.index.capacity() * E);
}

void row_gradient(CudaContext& context, const ProjectionGradient<float>& op, const float* d_rows) {
  const std::int64_t U = op.index.capacity(), E = op.embedding_width();
  const bool as_they_are = !op.accumulate && op.dropout.rate <= 0;
  float* const sums = as_they_are ? op.d_embedding.data() : context.scratch.take<float>(U * E);
  add_chunks(context, op, sum_chunks(context, context.scratch, op, d_rows, false, E, nullptr, sums));
  if (as_they_are) return;
  launch(add_rows_kernel, over(context, U * E, {.bytes = bytes_of(3 * U * E), .loads = 2}),
         {op.index.count.data(), op.index.tokens.data(), sums, op.d_embedding.data(), U, static_cast<int>(E),
          op.accumulate, op.dropout});
}

}  // namespace reel::cuda
