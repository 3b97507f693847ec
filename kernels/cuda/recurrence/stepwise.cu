// The recurrence for any H: a product over the whole batch and a pointwise kernel, step by step. Rows that have ended
// take part in the products, whose results for them are not used.
#include "kernels/cuda/recurrence/arguments.cuh"
#include "kernels/cuda/recurrence/cells.cuh"
#include "kernels/cuda/recurrence/dispatch.h"
#include "kernels/cuda/recurrence/strategies.h"

namespace reel::cuda {
namespace {

constexpr unsigned kThreads = 256;

struct StepForwardArgs {
  const std::int32_t* row_of;   // [B, T]
  const std::int32_t* lengths;  // [B]
  const float* input;           // [rows, H]
  const float* product;         // [B, H] W_hh . h[t]
  float* next;                  // [B, H] h[t+1]
  int steps, hidden, t;
};

/// A block for each batch row.
template <Cell kCell>
__global__ void step_forward_kernel(StepForwardArgs args) {
  const int b = static_cast<int>(blockIdx.x), H = args.hidden;
  if (args.t >= args.lengths[b]) return;
  const float* input = args.input + static_cast<std::size_t>(args.row_of[b * args.steps + args.t]) * H;
  const std::size_t first = static_cast<std::size_t>(b) * H;
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    args.next[first + j] = next_state<kCell>(args.product[first + j] + input[j]);
  }
}

struct StepBackwardArgs {
  const std::int32_t* lengths;  // [B]
  const float* next;            // [B, H] h[t+1]
  OutputGradientArgs d_output;
  const float* d_h;  // [B, H] W_hh^T dz[t+1]
  float* dz;         // [B, H] of step t
  int hidden, t;
};

/// A block for each batch row.
template <Cell kCell>
__global__ void step_backward_kernel(StepBackwardArgs args) {
  const int b = static_cast<int>(blockIdx.x), H = args.hidden, length = args.lengths[b];
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    const std::size_t i = static_cast<std::size_t>(b) * H + j;
    float d_z = 0;
    if (args.t < length) {
      const bool last = args.t == length - 1;
      const float d_h = (last ? args.d_output.last_at(i) : args.d_h[i]) + args.d_output.every_at(i);
      d_z = input_gradient<kCell>(d_h, args.next[i]);
    }
    args.dz[i] = d_z;
  }
}

struct InitialGradientArgs {
  const std::int32_t* lengths;  // [B]
  OutputGradientArgs d_output;
  const float* d_h;  // [B, H]
  float* d_h0;       // [B, H]
  int hidden;
};

__global__ void initial_gradient_kernel(InitialGradientArgs args) {
  const int b = static_cast<int>(blockIdx.x), H = args.hidden, length = args.lengths[b];
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    const std::size_t i = static_cast<std::size_t>(b) * H + j;
    args.d_h0[i] = length > 0 ? args.d_h[i] : args.d_output.last_at(i);
  }
}

Launch row_by_row(CudaContext& context, std::int64_t batch) {
  return {.grid = dim3(static_cast<unsigned>(batch)), .block = dim3(kThreads), .stream = context.platform.stream()};
}

}  // namespace

void rnn_forward_stepwise(CudaContext& context, const RecurrenceForward<float>& op) {
  const auto [B, T, H] = op.shape;
  context.scratch.reserve(Scratch::need<float>(B * H));
  float* const product = context.scratch.take<float>(B * H);
  void (*kernel)(StepForwardArgs) = nullptr;
  with_cell(op.cell, [&](auto cell) { kernel = step_forward_kernel<cell()>; });
  for (std::int64_t t = 0; t < T; ++t) {
    float* const h = op.h.data() + t * B * H;
    context.platform.product({.m = B, .n = H, .k = H, .a = h, .b = op.w_hh.data(), .c = product, .b_transposed = true});
    launch(kernel, row_by_row(context, B),
           {op.input.row_of.data(), op.lengths.data(), op.input.values.data(), product, h + B * H, static_cast<int>(T),
            static_cast<int>(H), static_cast<int>(t)});
  }
}

void rnn_backward_stepwise(CudaContext& context, const RecurrenceBackward<float>& op) {
  const auto [B, T, H] = op.shape;
  const OutputGradientArgs d_output(op.d_output);
  context.scratch.reserve(Scratch::need<float>(B * H));
  float* const d_h = context.scratch.take<float>(B * H);
  void (*kernel)(StepBackwardArgs) = nullptr;
  with_cell(op.cell, [&](auto cell) { kernel = step_backward_kernel<cell()>; });
  for (std::int64_t t = T - 1; t >= 0; --t) {
    float* const dz = op.dz.data() + t * B * H;
    launch(kernel, row_by_row(context, B),
           {op.lengths.data(), op.h.data() + (t + 1) * B * H, d_output, d_h, dz, static_cast<int>(H),
            static_cast<int>(t)});
    context.platform.product({.m = B, .n = H, .k = H, .a = dz, .b = op.w_hh.data(), .c = d_h});
  }
  if (op.d_h0.empty()) return;
  launch(initial_gradient_kernel, row_by_row(context, B),
         {op.lengths.data(), d_output, d_h, op.d_h0.data(), static_cast<int>(H)});
}

}  // namespace reel::cuda
