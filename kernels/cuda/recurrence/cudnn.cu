// The recurrence by cuDNN, for comparison and for wide layers. Some of its algorithms want all rows equally long:
// every row runs all T steps, and what follows its end is put out of reach here. Of cells of several gates cuDNN
// projects the input as well: it is given the rows of the embedding table, or the states below, and all parameters.
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/projection.h"
#include "kernels/cuda/recurrence/arguments.cuh"
#include "kernels/cuda/recurrence/strategies.h"

namespace reel::cuda {
namespace {

constexpr int kThreads = 256;

struct GatherInputArgs {
  const std::int32_t* row_of;   // [B, T]
  const std::int32_t* lengths;  // [B]
  const std::int32_t* tokens;   // the row of `input` that each of those stands for, or null: that itself
  const float* input;           // [rows, W]
  float* x;                     // [T, B, W]
  float padding;
  int steps, batch, width;
  EmbeddingDropout dropout;  // of the input's rows
};

/// A block for each t, b.
__global__ void gather_input_kernel(GatherInputArgs args) {
  const int position = static_cast<int>(blockIdx.x), t = position / args.batch, b = position % args.batch;
  float* const to = args.x + static_cast<std::size_t>(position) * args.width;
  const bool inside = t < args.lengths[b];
  int row = inside ? args.row_of[b * args.steps + t] : 0;
  if (inside && args.tokens != nullptr) row = args.tokens[row];
  const float* const from = args.input + static_cast<std::size_t>(row) * args.width;
  const float factor =
      dropout_factor(args.dropout.rate, args.dropout.key, args.dropout.clock, static_cast<std::size_t>(row));
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    to[j] = inside ? from[j] * factor : args.padding;
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

/// `Pointer` is const float* where Reel's are read, float* where they are written.
template <class Pointer>
struct CopyParametersArgs {
  CudnnParameters cudnn;
  Pointer w_ih, w_hh, bias, b_hh;  // [G*H, E], [G*H, H], [G*H], [H] of the last gate or null
  int embedding, hidden;           // no padding behind them: what stands there might look like an address
};

/// Reel's parameters to cuDNN, or cuDNN's gradients to Reel. A block for each row of the matrices.
template <class Pointer>
__global__ void copy_parameters_kernel(CopyParametersArgs<Pointer> args) {
  const auto copy = [](Pointer reel, float* cudnn) {
    if constexpr (std::is_const_v<std::remove_pointer_t<Pointer>>) {
      *cudnn = *reel;
    } else {
      *reel = *cudnn;
    }
  };
  const int row = static_cast<int>(blockIdx.x), gate = row / args.hidden, unit = row % args.hidden;
  const auto copy_row = [&](Pointer reel, float* cudnn, int width) {
    for (int j = static_cast<int>(threadIdx.x); j < width; j += static_cast<int>(blockDim.x)) {
      copy(reel + static_cast<std::size_t>(row) * width + j, cudnn + static_cast<std::size_t>(unit) * width + j);
    }
  };
  copy_row(args.w_ih, args.cudnn.gates[gate].w_ih, args.embedding);
  copy_row(args.w_hh, args.cudnn.gates[gate].w_hh, args.hidden);
  if (threadIdx.x != 0) return;
  copy(args.bias + row, args.cudnn.gates[gate].b_ih + unit);
  if (args.b_hh != nullptr && row + args.hidden >= static_cast<int>(gridDim.x))
    copy(args.b_hh + unit, args.cudnn.gates[gate].b_hh + unit);
}

struct KeepCellStateArgs {
  const std::int32_t* lengths;  // [B]
  const float* next_c;          // [B, H], after the step
  const float* initial_c;       // [B, H] or null
  float* final_c;               // [B, H]; may be initial_c
  int batch, hidden;
};

/// A row without the step keeps its c.
__global__ void keep_cell_state_kernel(KeepCellStateArgs args) {
  const auto i = static_cast<int>(global_thread());
  if (i >= args.batch * args.hidden) return;
  const float before = args.initial_c != nullptr ? args.initial_c[i] : 0.0f;
  args.final_c[i] = args.lengths[i / args.hidden] > 0 ? args.next_c[i] : before;
}

void spread_gradient(CudaContext& context, const RecurrenceBackward<float>& op, float* d_y) {
  const auto [B, T, H] = op.shape;
  launch(spread_gradient_kernel, per_block(context, T * B, kThreads),
         {op.lengths.data(), OutputGradientArgs(op.d_output), StepGradientArgs(op.d_output), d_y, static_cast<int>(B),
          static_cast<int>(T), static_cast<int>(H)});
}

/// Null where there is nothing: an empty buffer has an address too.
template <class T>
T* or_null(std::span<T> values) {
  return values.empty() ? nullptr : values.data();
}

/// Of an operation of the recurrence; `embedding` is the width of an input that cuDNN projects.
template <class Op>
CudnnLayer layer_of(const Op& op, std::int64_t embedding = 0) {
  return {.cell = op.cell, .shape = op.shape, .embedding = embedding, .h = op.h.data()};
}

/// What the rows of cuDNN's input are read from.
struct InputTable {
  const float* rows;              // [rows, W]
  const std::int32_t* tokens;     // the row that each index of row_of stands for, or null: that itself
  std::int64_t width;             // W
  float padding = 0;              // after a row's end
  EmbeddingDropout dropout = {};  // of the rows
};

/// x [T, B, W] of an operation of the recurrence.
void gather_input(CudaContext& context, const RecurrenceForward<float>& op, const InputTable& table, float* x) {
  const auto [B, T, H] = op.shape;
  launch(gather_input_kernel, per_block(context, T * B, kThreads),
         {.row_of = op.input.row_of.data(),
          .lengths = op.lengths.data(),
          .tokens = table.tokens,
          .input = table.rows,
          .x = x,
          .padding = table.padding,
          .steps = static_cast<int>(T),
          .batch = static_cast<int>(B),
          .width = static_cast<int>(table.width),
          .dropout = table.dropout});
}

template <class Pointer>
void copy_parameters(CudaContext& context, const CudnnLayer& layer, const CopyParametersArgs<Pointer>& args) {
  launch(copy_parameters_kernel<Pointer>, per_block(context, traits(layer.cell).gates * layer.shape.hidden, 128), args);
}

}  // namespace

void rnn_forward_cudnn(CudaContext& context, const RecurrenceForward<float>& op) {
  const auto [B, T, H] = op.shape;
  const CudnnLayer layer = layer_of(op);
  context.scratch.reserve(Scratch::need<float>(T * B * H));
  float* const x = context.scratch.take<float>(T * B * H);
  // States that are not bounded could grow after a row's end: an input this low (fp16's least) keeps ReLU's 0.
  const float padding = traits(op.cell).bounded ? 0.0f : -65504.0f;
  gather_input(context, op, {.rows = op.input.values.data(), .tokens = nullptr, .width = H, .padding = padding}, x);
  context.platform.copy(context.cudnn->parameters(layer).gates[0].w_hh, op.w_hh.data(), op.w_hh.size_bytes());
  context.cudnn->forward(layer, x, op.h.data() + B * H, nullptr, nullptr);
}

void rnn_backward_cudnn(CudaContext& context, const RecurrenceBackward<float>& op) {
  const auto [B, T, H] = op.shape;
  const CudnnLayer layer = layer_of(op);
  context.scratch.reserve(Scratch::need<float>(T * B * H) + Scratch::need<float>(B * H));
  float* const d_y = context.scratch.take<float>(T * B * H);
  float* const d_h0 = context.scratch.take<float>(B * H);
  spread_gradient(context, op, d_y);
  context.cudnn->backward(layer, nullptr, d_y, op.d_input.data(), d_h0, nullptr);
}

void layer_forward_cudnn(CudaContext& context, const LayerForward<float>& op) {
  const RecurrenceForward<float>& recurrence = op.recurrence;
  const ProjectTokens<float>& projection = op.projection;
  const auto [B, T, H] = recurrence.shape;
  const std::int64_t E = projection.embedding_width();
  const CudnnLayer layer = layer_of(recurrence, E);
  float* const x = context.cudnn->input(layer);
  gather_input(context, recurrence,
               {.rows = projection.embedding.data(),
                .tokens = or_null(projection.tokens),
                .width = E,
                .dropout = projection.dropout},
               x);
  copy_parameters<const float*>(context, layer,
                                {.cudnn = context.cudnn->parameters(layer),
                                 .w_ih = projection.w_ih.data(),
                                 .w_hh = recurrence.w_hh.data(),
                                 .bias = projection.bias.data(),
                                 .b_hh = or_null(recurrence.b_hh),
                                 .embedding = static_cast<int>(E),
                                 .hidden = static_cast<int>(H)});
  float* next_c = nullptr;
  if (!recurrence.final_c.empty()) {
    context.scratch.reserve(Scratch::need<float>(B * H));
    next_c = context.scratch.take<float>(B * H);
  }
  context.cudnn->forward(layer, x, recurrence.h.data() + B * H, or_null(recurrence.initial_c), next_c);
  if (next_c == nullptr) return;
  launch(keep_cell_state_kernel, over(context, B * H),
         {recurrence.lengths.data(), next_c, or_null(recurrence.initial_c), recurrence.final_c.data(),
          static_cast<int>(B), static_cast<int>(H)});
}

void layer_backward_cudnn(CudaContext& context, const LayerBackward<float>& op) {
  const RecurrenceBackward<float>& recurrence = op.recurrence;
  const ProjectionGradient<float>& projection = op.projection;
  const auto [B, T, H] = recurrence.shape;
  const std::int64_t E = projection.embedding_width();
  const CudnnLayer layer = layer_of(recurrence, E);
  const float* const x = context.cudnn->input(layer);
  context.scratch.reserve(Scratch::need<float>(T * B * H) + Scratch::need<float>(T * B * E) +
                          2 * Scratch::need<float>(B * H) + row_gradient_scratch(projection));
  float* const d_y = context.scratch.take<float>(T * B * H);
  float* const d_x = context.scratch.take<float>(T * B * E);
  float* const d_h0 = context.scratch.take<float>(B * H);
  float* const d_c0 = context.scratch.take<float>(B * H);
  spread_gradient(context, recurrence, d_y);
  context.cudnn->backward(layer, or_null(recurrence.initial_c), d_y, d_x, d_h0,
                          recurrence.cell == Cell::kLstm ? d_c0 : nullptr);
  context.cudnn->backward_parameters(layer, x);
  copy_parameters<float*>(context, layer,
                          {.cudnn = context.cudnn->gradients(layer),
                           .w_ih = projection.d_w_ih.data(),
                           .w_hh = recurrence.d_w_hh.data(),
                           .bias = projection.d_bias.data(),
                           .b_hh = or_null(recurrence.d_b_hh),
                           .embedding = static_cast<int>(E),
                           .hidden = static_cast<int>(H)});
  row_gradient(context, projection, d_x);
}

}  // namespace reel::cuda
