// The embedding with the input projection, and its gradient.
//
// projected = rows . W_ih^T + bias is one product over all slots of the index. Where the index lists the whole
// vocabulary, `rows` is the embedding table itself; otherwise the rows of its tokens are gathered first (0 beyond U, so
// that the products may run over the index's capacity and no size has to come back from the device).
//
// Gradient: positions are sorted by token. First level: a block for each kChunk sorted positions sums dz by token, in
// order. A token that lies within one chunk is done; of others, each chunk leaves a partial sum (of the token that
// enters it, and of the one that leaves it). Second level: a block for each slot adds its partial sums in order. All
// orders are fixed by the index, so the bits are too.
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/operations.h"

namespace reel::cuda {
namespace {

constexpr int kChunk = 64;

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
  const float* row;  // [H]
  float* out;        // [rows, H]
  std::int64_t rows;
  int hidden;
};

__global__ void fill_rows_kernel(FillArgs args) {
  const std::int64_t i = global_thread();
  if (i < args.rows * args.hidden) args.out[i] = args.row[i % args.hidden];
}

struct SumArgs {
  const std::int32_t* count;     // [1] U
  const std::int32_t* row;       // [B, T]
  const std::int32_t* segment;   // [U + 1]
  const std::int32_t* position;  // [segment[U]], sorted by token
  const float* dz;               // [T, B, H]
  float* partial;                // [chunks][2][H]: of the token that enters a chunk, of the one that leaves it
  float* d_projected;            // [U, H]
  int batch, steps, hidden;
};

/// Where the sum of token u over `chunk` belongs: its own row, or one of the chunk's two partial sums.
__device__ inline float* place_of_sum(const SumArgs& args, int u, int chunk) {
  const int begin = args.segment[u], end = args.segment[u + 1], first = chunk * kChunk;
  if (begin >= first && end <= first + kChunk) return args.d_projected + static_cast<std::int64_t>(u) * args.hidden;
  return args.partial + (static_cast<std::int64_t>(chunk) * 2 + (begin < first ? 0 : 1)) * args.hidden;
}

/// A block for each chunk of sorted positions; a thread for each column.
__global__ void sum_chunks_kernel(SumArgs args) {
  REEL_SHARED(int[kChunk], positions);
  REEL_SHARED(int[kChunk], slots);
  const int chunk = static_cast<int>(blockIdx.x), first = chunk * kChunk;
  const int left = args.segment[args.count[0]] - first;
  const int size = left < kChunk ? left : kChunk;
  for (int i = static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) {
    const int position = args.position[first + i];
    positions[i] = position;
    slots[i] = args.row[position % args.batch * args.steps + position / args.batch];
  }
  __syncthreads();
  for (int j = static_cast<int>(threadIdx.x); j < args.hidden; j += static_cast<int>(blockDim.x)) {
    float sum = 0;
    for (int i = 0; i < size; ++i) {
      sum += args.dz[static_cast<std::int64_t>(positions[i]) * args.hidden + j];
      if (i + 1 == size || slots[i + 1] != slots[i]) {
        place_of_sum(args, slots[i], chunk)[j] = sum;
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
  for (int j = static_cast<int>(threadIdx.x); j < args.hidden; j += static_cast<int>(blockDim.x)) {
    float sum = begin < end ? args.partial[(static_cast<std::int64_t>(first) * 2 + 1) * args.hidden + j] : 0.0f;
    for (int chunk = first + 1; chunk <= last; ++chunk) {
      sum += args.partial[static_cast<std::int64_t>(chunk) * 2 * args.hidden + j];
    }
    args.d_projected[static_cast<std::int64_t>(u) * args.hidden + j] = sum;
  }
}

struct ColumnSumArgs {
  const float* matrix;  // [rows, columns]
  float* sums;          // [slices, columns]: of every slices-th row
  std::int64_t rows;
  int columns, slices;
};

/// A thread for each slice and column. Run twice: over slices of the matrix, then over the slices' sums.
__global__ void sum_columns_kernel(ColumnSumArgs args) {
  const std::int64_t i = global_thread();
  if (i >= static_cast<std::int64_t>(args.slices) * args.columns) return;
  const std::int64_t column = i % args.columns;
  float sum = 0;
  for (std::int64_t row = i / args.columns; row < args.rows; row += args.slices) {
    sum += args.matrix[row * args.columns + column];
  }
  args.sums[i] = sum;
}

constexpr int kSlices = 64;

/// The embedding rows of the index's slots.
const float* rows_of(CudaContext& context, const Shape& s, const TokenIndex& index, const float* embedding) {
  const std::int64_t U = max_distinct(s);
  if (U == s.vocabulary) return embedding;
  float* const rows = context.scratch.take<float>(U * s.embedding);
  launch(gather_rows_kernel, over(context, U * s.embedding),
         {index.count.data(), index.tokens.data(), embedding, rows, U, static_cast<int>(s.embedding)});
  return rows;
}

void sum_by_token(CudaContext& context, const EmbeddingGradient<float>& args, float* partial) {
  const auto [V, E, H, B, T] = args.shape;
  const SumArgs sums{.count = args.index.count.data(),
                     .row = args.index.row.data(),
                     .segment = args.index.segment.data(),
                     .position = args.index.position.data(),
                     .dz = args.dz.data(),
                     .partial = partial,
                     .d_projected = args.d_projected.data(),
                     .batch = static_cast<int>(B),
                     .steps = static_cast<int>(T),
                     .hidden = static_cast<int>(H)};
  const auto per_block = [&](std::int64_t blocks) {
    return Launch{.grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(128), .stream = context.platform.stream()};
  };
  launch(sum_chunks_kernel, per_block((B * T + kChunk - 1) / kChunk), sums);
  launch(add_chunks_kernel, per_block(max_distinct(args.shape)), sums);
}

}  // namespace

void project_tokens(CudaContext& context, const ProjectTokens<float>& args) {
  const auto [V, E, H, B, T] = args.shape;
  const std::int64_t U = max_distinct(args.shape);
  context.scratch.reserve(Scratch::need<float>(U * E));
  const float* const rows = rows_of(context, args.shape, args.index, args.embedding.data());
  launch(fill_rows_kernel, over(context, U * H), {args.bias.data(), args.projected.data(), U, static_cast<int>(H)});
  context.platform.product({.m = U,
                            .n = H,
                            .k = E,
                            .a = rows,
                            .b = args.w_ih.data(),
                            .c = args.projected.data(),
                            .b_transposed = true,
                            .beta = 1});
}

void embedding_gradient(CudaContext& context, const EmbeddingGradient<float>& args) {
  const auto [V, E, H, B, T] = args.shape;
  const std::int64_t U = max_distinct(args.shape), chunks = (B * T + kChunk - 1) / kChunk;
  context.scratch.reserve(Scratch::need<float>(U * E) + Scratch::need<float>(chunks * 2 * H) +
                          Scratch::need<float>(kSlices * H));
  const float* const rows = rows_of(context, args.shape, args.index, args.embedding.data());
  sum_by_token(context, args, context.scratch.take<float>(chunks * 2 * H));

  const float* const d_projected = args.d_projected.data();
  float* const slices = context.scratch.take<float>(kSlices * H);
  const int columns = static_cast<int>(H);
  launch(sum_columns_kernel, over(context, kSlices * H), {d_projected, slices, U, columns, kSlices});
  launch(sum_columns_kernel, over(context, H), {slices, args.d_bias.data(), kSlices, columns, 1});
  context.platform.product(
      {.m = U, .n = E, .k = H, .a = d_projected, .b = args.w_ih.data(), .c = args.d_embedding.data()});
  context.platform.product(
      {.m = H, .n = E, .k = U, .a = d_projected, .b = rows, .c = args.d_w_ih.data(), .a_transposed = true});
}

}  // namespace reel::cuda
