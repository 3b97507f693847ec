// The recurrence by cuDNN, for comparison and for wide layers. Some of its algorithms want all rows equally long:
// every row runs all T steps, and what follows its end is put out of reach here.
#include "kernels/cuda/rnn_kernels.h"

namespace reel::cuda {
namespace {

constexpr unsigned kThreads = 256;

struct GatherInputArgs {
  const std::int32_t* row;      // [B, T]
  const std::int32_t* lengths;  // [B]
  const float* projected;       // [U, H]
  float* x;                     // [T, B, H]
  float padding;
  int steps, batch, hidden;
};

/// A block for each t, b.
__global__ void gather_input_kernel(GatherInputArgs args) {
  const int cell = static_cast<int>(blockIdx.x), t = cell / args.batch, b = cell % args.batch, H = args.hidden;
  float* const to = args.x + static_cast<std::size_t>(cell) * H;
  const bool inside = t < args.lengths[b];
  const std::size_t place = inside ? static_cast<std::size_t>(args.row[b * args.steps + t]) * H : 0;
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    to[j] = inside ? args.projected[place + j] : args.padding;
  }
}

struct SpreadGradientArgs {
  const std::int32_t* lengths;  // [B]
  const float* d_pooled;        // [B, H]
  float* d_y;                   // [T, B, H]
  int batch, hidden;
  bool mean;
};

/// A block for each t, b.
__global__ void spread_gradient_kernel(SpreadGradientArgs args) {
  const int cell = static_cast<int>(blockIdx.x), t = cell / args.batch, b = cell % args.batch, H = args.hidden;
  const int length = args.lengths[b];
  float* const to = args.d_y + static_cast<std::size_t>(cell) * H;
  const bool counts = args.mean ? t < length : t == length - 1;
  const float share = args.mean ? static_cast<float>(length) : 1.0f;
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    to[j] = counts ? args.d_pooled[static_cast<std::size_t>(b) * H + j] / share : 0.0f;
  }
}

struct EmptyRowsArgs {
  const std::int32_t* lengths;  // [B]
  const float* d_pooled;        // [B, H]
  float* d_h0;                  // [B, H]
  int hidden;
};

/// The pooled state of an empty row is h[0] itself.
__global__ void empty_rows_kernel(EmptyRowsArgs args) {
  const int b = static_cast<int>(blockIdx.x), H = args.hidden;
  if (args.lengths[b] > 0) return;
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    args.d_h0[static_cast<std::size_t>(b) * H + j] = args.d_pooled[static_cast<std::size_t>(b) * H + j];
  }
}

Launch blocks(CudaContext& context, std::int64_t count) {
  return {.grid = dim3(static_cast<unsigned>(count)), .block = dim3(kThreads), .stream = context.platform.stream()};
}

}  // namespace

void rnn_forward_cudnn(CudaContext& context, const RnnForward<float>& args) {
  const auto [V, E, H, B, T] = args.shape;
  context.scratch.reserve(Scratch::need<float>(T * B * H));
  float* const x = context.scratch.take<float>(T * B * H);
  // ReLU states could grow without bound after a row's end: an input this low (fp16's least) keeps them 0.
  const float padding = args.nonlinearity == Nonlinearity::kRelu ? -65504.0f : 0.0f;
  launch(gather_input_kernel, blocks(context, T * B),
         {args.row.data(), args.lengths.data(), args.projected.data(), x, padding, static_cast<int>(T),
          static_cast<int>(B), static_cast<int>(H)});
  context.cudnn->forward(args.shape, args.nonlinearity, x, args.w_hh.data(), args.h.data());
}

void rnn_backward_cudnn(CudaContext& context, const RnnBackward<float>& args) {
  const auto [V, E, H, B, T] = args.shape;
  const bool mean = args.pool == Pool::kMean;
  context.scratch.reserve(Scratch::need<float>(T * B * H) + Scratch::need<float>(B * H));
  float* const d_y = context.scratch.take<float>(T * B * H);
  float* const d_h0 = args.d_h0.empty() ? context.scratch.take<float>(B * H) : args.d_h0.data();
  launch(spread_gradient_kernel, blocks(context, T * B),
         {args.lengths.data(), args.d_pooled.data(), d_y, static_cast<int>(B), static_cast<int>(H), mean});
  context.cudnn->backward(args.shape, args.nonlinearity, args.w_hh.data(), args.h.data(), d_y, args.dz.data(), d_h0);
  if (args.d_h0.empty() || mean) return;
  launch(empty_rows_kernel, blocks(context, B), {args.lengths.data(), args.d_pooled.data(), d_h0, static_cast<int>(H)});
}

}  // namespace reel::cuda
