// The recurrence by cuDNN, for comparison and for wide layers. Some of its algorithms want all rows equally long:
// every row runs all T steps, and what follows its end is put out of reach here.
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/recurrence/arguments.cuh"
#include "kernels/cuda/recurrence/strategies.h"

namespace reel::cuda {
namespace {

constexpr int kThreads = 256;

struct GatherInputArgs {
  const std::int32_t* row_of;   // [B, T]
  const std::int32_t* lengths;  // [B]
  const float* input;           // [rows, H]
  float* x;                     // [T, B, H]
  float padding;
  int steps, batch, hidden;
};

/// A block for each t, b.
__global__ void gather_input_kernel(GatherInputArgs args) {
  const int position = static_cast<int>(blockIdx.x), t = position / args.batch, b = position % args.batch,
            H = args.hidden;
  float* const to = args.x + static_cast<std::size_t>(position) * H;
  const bool inside = t < args.lengths[b];
  const std::size_t row = inside ? static_cast<std::size_t>(args.row_of[b * args.steps + t]) * H : 0;
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    to[j] = inside ? args.input[row + j] : args.padding;
  }
}

struct SpreadGradientArgs {
  const std::int32_t* lengths;  // [B]
  OutputGradientArgs d_output;
  StepGradientArgs single;
  float* d_y;  // [T, B, H]
  int batch, steps, hidden;
};

/// A block for each t, b.
__global__ void spread_gradient_kernel(SpreadGradientArgs args) {
  const int position = static_cast<int>(blockIdx.x), t = position / args.batch, b = position % args.batch,
            H = args.hidden;
  const int length = args.lengths[b];
  float* const to = args.d_y + static_cast<std::size_t>(position) * H;
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    const std::size_t i = static_cast<std::size_t>(b) * H + j;
    const float last = t == length - 1 ? args.d_output.last_at(i) : 0.0f;
    to[j] = t < length ? last + args.d_output.every_at(i) + args.single.at(b, t, j, args.steps, H) : 0.0f;
  }
}

}  // namespace

void rnn_forward_cudnn(CudaContext& context, const RecurrenceForward<float>& op) {
  const auto [B, T, H] = op.shape;
  context.scratch.reserve(Scratch::need<float>(T * B * H));
  float* const x = context.scratch.take<float>(T * B * H);
  // States that are not bounded could grow after a row's end: an input this low (fp16's least) keeps ReLU's 0.
  const float padding = traits(op.cell).bounded ? 0.0f : -65504.0f;
  launch(gather_input_kernel, per_block(context, T * B, kThreads),
         {op.input.row_of.data(), op.lengths.data(), op.input.values.data(), x, padding, static_cast<int>(T),
          static_cast<int>(B), static_cast<int>(H)});
  context.cudnn->forward(op.cell, op.shape, x, op.w_hh.data(), op.h.data());
}

void rnn_backward_cudnn(CudaContext& context, const RecurrenceBackward<float>& op) {
  const auto [B, T, H] = op.shape;
  context.scratch.reserve(Scratch::need<float>(T * B * H) + Scratch::need<float>(B * H));
  float* const d_y = context.scratch.take<float>(T * B * H);
  float* const d_h0 = context.scratch.take<float>(B * H);  // cuDNN's to write, nobody's to read
  launch(spread_gradient_kernel, per_block(context, T * B, kThreads),
         {op.lengths.data(), OutputGradientArgs(op.d_output), StepGradientArgs(op.d_output), d_y, static_cast<int>(B),
          static_cast<int>(T), static_cast<int>(H)});
  context.cudnn->backward(op.cell, op.shape, op.w_hh.data(), op.h.data(), d_y, op.d_input.data(), d_h0);
}

}  // namespace reel::cuda
