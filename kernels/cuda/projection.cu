// The embedding with the input projection, and its gradient.
//
// projected = rows . W_ih^T + bias is one product over all slots of the index. Where those are the whole vocabulary,
// `rows` is the embedding table itself; otherwise the rows of its tokens are gathered first (0 beyond U, so that the
// products may run over the index's capacity and no size has to come back from the device).
//
// Gradient: positions are sorted by token. First level: a block for each kChunk sorted positions sums d_input by token,
// in order. A token within one chunk is done; one that spans chunks leaves a partial sum in each: slot 0 if it began
// earlier, 1 if it begins here. Second level: a block for each slot adds its partial sums in order. All orders are
// fixed by the index, so the bits are too.
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/projection.h"
#include "kernels/cuda/reduce.cuh"

namespace reel::cuda {
namespace {

constexpr int kChunk = 64, kLoads = 16;  // of which so many at once, since stores between them would part them

struct GatherArgs {
  const std::int32_t* count;   // [1] U
  const std::int32_t* tokens;  // [U]
  const float* embedding;      // [V, E]
  float* rows;                 // [slots, E]
  std::int64_t slots;
  int embedding_size;
};

__global__ void gather_rows_kernel(GatherArgs args) {
  const std::int64_t i = global_thread();
  if (i >= args.slots * args.embedding_size) return;
  const auto u = static_cast<int>(i / args.embedding_size), e = static_cast<int>(i % args.embedding_size);
  args.rows[i] =
      u < args.count[0] ? args.embedding[static_cast<std::int64_t>(args.tokens[u]) * args.embedding_size + e] : 0.0f;
}

struct FillArgs {
  const float* row;  // [W]
  float* out;        // [rows, W]
  std::int64_t rows;
  int width;
};

__global__ void fill_rows_kernel(FillArgs args) {
  const std::int64_t i = global_thread();
  if (i < args.rows * args.width) args.out[i] = args.row[i % args.width];
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
  const float factor = dropout_factor(args.dropout.rate, args.dropout.key, static_cast<std::size_t>(args.tokens[u]));
  args.rows[i] = fmaf(args.rows[i], factor, args.bias == nullptr ? 0.0f : args.bias[j]);
}

struct SumArgs {
  const std::int32_t* count;     // [1] U
  const std::int32_t* row_of;    // [B, T]
  const std::int32_t* segment;   // [U + 1]
  const std::int32_t* position;  // [segment[U]], sorted by token
  const float* d_input;          // [T, B, W]
  float* partial;                // [chunks][2][W]
  float* sums;                   // [U, W]
  int batch, steps, width;
};

/// Where the sum of token u over `chunk` is written: to its own row, or to one of the chunk's two partial sums.
__device__ inline float* sum_of(const SumArgs& args, int u, int chunk) {
  const int begin = args.segment[u], end = args.segment[u + 1], first = chunk * kChunk;
  if (begin >= first && end <= first + kChunk) return args.sums + static_cast<std::int64_t>(u) * args.width;
  return args.partial + (static_cast<std::int64_t>(chunk) * 2 + (begin < first ? 0 : 1)) * args.width;
}

/// A block for each chunk of sorted positions; a thread for each column.
__global__ void sum_chunks_kernel(SumArgs args) {
  REEL_SHARED(int[kChunk], positions);
  REEL_SHARED(int[kChunk], slots);
  REEL_SHARED(float* [kChunk], targets);  // where a sum that ends here goes, or null
  const int chunk = static_cast<int>(blockIdx.x), first = chunk * kChunk;
  const int left = args.segment[args.count[0]] - first;
  const int size = left < kChunk ? left : kChunk;
  for (int i = static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) {
    const int position = args.position[first + i];
    positions[i] = position;
    slots[i] = args.row_of[position % args.batch * args.steps + position / args.batch];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) {
    targets[i] = i + 1 == size || slots[i + 1] != slots[i] ? sum_of(args, slots[i], chunk) : nullptr;
  }
  __syncthreads();
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    float sum = 0;
    for (int begin = 0; begin < size; begin += kLoads) {
      float values[kLoads];
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        const bool there = begin + i < size;
        values[i] = there ? args.d_input[static_cast<std::int64_t>(positions[begin + i]) * args.width + j] : 0.0f;
      }
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        if (begin + i >= size) break;
        sum += values[i];
        float* const target = targets[begin + i];
        if (target == nullptr) continue;
        target[j] = sum;
        sum = 0;
      }
    }
  }
}

/// A block for each slot.
__global__ void add_chunks_kernel(SumArgs args) {
  const auto u = static_cast<int>(blockIdx.x);
  const bool used = u < args.count[0];
  const int begin = used ? args.segment[u] : 0, end = used ? args.segment[u + 1] : 0;
  const int first = begin / kChunk, last = end > begin ? (end - 1) / kChunk : first;
  if (begin < end && first == last) return;  // the first level has written it
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    const float* const partial = args.partial + static_cast<std::int64_t>(first) * 2 * args.width + j;
    float sum = begin < end ? partial[args.width] : 0.0f;
    sum = add_in_order(sum, partial + 2 * args.width, std::int64_t{2} * args.width, last - first);
    args.sums[static_cast<std::int64_t>(u) * args.width + j] = sum;
  }
}

/// The embedding rows of the slots of a list of distinct tokens with room for U; `whole`: it is the vocabulary.
const float* rows_of(CudaContext& context, bool whole, std::span<const std::int32_t> count,
                     std::span<const std::int32_t> tokens, std::span<const float> embedding, std::int64_t E) {
  if (whole) return embedding.data();
  const auto U = static_cast<std::int64_t>(tokens.size());
  float* const rows = context.scratch.take<float>(U * E);
  launch(gather_rows_kernel, over(context, U * E, {.bytes = bytes_of(2 * U * E), .loads = 2}),
         {count.data(), tokens.data(), embedding.data(), rows, U, static_cast<int>(E)});
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
  const float factor =
      u < args.count[0] ? dropout_factor(args.dropout.rate, args.dropout.key, static_cast<std::size_t>(args.tokens[u]))
                        : 0.0f;
  args.rows[i] = fmaf(args.sums[i], factor, args.accumulate ? args.rows[i] : 0.0f);
}

/// Of d_input [T, B, width]: `sums` has room for U rows. `partial` is [chunks][2][width].
void sum_by_token(CudaContext& context, const ProjectionGradient<float>& op, const float* d_input, std::int64_t width,
                  float* partial, float* sums) {
  const auto [B, T] = op.shape;
  const SumArgs args{.count = op.index.count.data(),
                     .row_of = op.index.row_of.data(),
                     .segment = op.index.segment.data(),
                     .position = op.index.position.data(),
                     .d_input = d_input,
                     .partial = partial,
                     .sums = sums,
                     .batch = static_cast<int>(B),
                     .steps = static_cast<int>(T),
                     .width = static_cast<int>(width)};
  const std::int64_t chunks = chunks_of(op.shape), U = op.index.capacity();
  launch(sum_chunks_kernel,
         per_block(context, chunks, 128, {.bytes = bytes_of((B * T + U) * width), .loads = 5 + kChunk / kLoads}), args);
  // Of a token that spans many chunks, the more the more frequent it is: at most all of them, a twentieth in reviews.
  const double spanned = 1 + static_cast<double>(chunks) / (20 * kLoadsAtOnce);
  launch(add_chunks_kernel, per_block(context, U, 128, {.bytes = bytes_of(2 * chunks * width), .loads = 2 + spanned}),
         args);
}

}  // namespace

void execute(CudaContext& context, const ProjectTokens<float>& op) {
  const std::int64_t U = op.rows(), E = op.embedding_width(), W = op.width();
  const bool whole = lists_vocabulary(op.rows(), op.vocabulary());
  if (!whole) context.scratch.reserve(Scratch::need<float>(U * E));
  const float* const rows = rows_of(context, whole, op.count, op.tokens, op.embedding, E);
  const bool drops = op.dropout.rate > 0;
  if (!drops) {
    launch(fill_rows_kernel, over(context, U * W, {.bytes = bytes_of(U * W), .loads = 1}),
           {op.bias.data(), op.projected.data(), U, static_cast<int>(W)});
  }
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
  const bool whole = lists_vocabulary(op.index.capacity(), op.index.vocabulary());
  const float* const d_projected = op.d_projected.data();
  context.scratch.reserve(Scratch::need<float>(chunks * 2 * W));
  sum_by_token(context, op, op.d_input.data(), W, context.scratch.take<float>(chunks * 2 * W), op.d_projected.data());

  const bool drops = op.dropout.rate > 0;
  const ColumnSums bias{.matrix = d_projected, .rows = U, .stride = W, .columns = W, .sums = op.d_bias.data()};
  CudaContext& sums = drops ? context : context.fork(Side::kHead);  // of what has not been scaled
  sums.scratch.reserve(bias.scratch());
  sum_columns(sums, bias);
  if (drops) {
    launch(scale_rows_kernel, over(context, U * W, {.bytes = bytes_of(2 * U * W), .loads = 2}),
           {op.index.count.data(), op.index.tokens.data(), nullptr, op.d_projected.data(), U, static_cast<int>(W),
            op.dropout});
  }
  CudaContext& input = context.fork(Side::kInput);
  if (!whole) input.scratch.reserve(Scratch::need<float>(U * E));
  const float* const rows = rows_of(input, whole, op.index.count, op.index.tokens, op.embedding, E);
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
  return Scratch::need<float>(chunks_of(op.shape) * 2 * E) + Scratch::need<float>(op.index.capacity() * E);
}

void row_gradient(CudaContext& context, const ProjectionGradient<float>& op, const float* d_rows) {
  const std::int64_t U = op.index.capacity(), E = op.embedding_width();
  const bool as_they_are = !op.accumulate && op.dropout.rate <= 0;
  float* const partial = context.scratch.take<float>(chunks_of(op.shape) * 2 * E);
  float* const sums = as_they_are ? op.d_embedding.data() : context.scratch.take<float>(U * E);
  sum_by_token(context, op, d_rows, E, partial, sums);
  if (as_they_are) return;
  launch(add_rows_kernel, over(context, U * E, {.bytes = bytes_of(3 * U * E), .loads = 2}),
         {op.index.count.data(), op.index.tokens.data(), sums, op.d_embedding.data(), U, static_cast<int>(E),
          op.accumulate, op.dropout});
}

}  // namespace reel::cuda
