// The recurrence for any H: a product over the whole batch and a pointwise kernel, step by step. Rows that have ended
// take part in the products, whose results for them are not used.
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/recurrence/arguments.cuh"
#include "kernels/cuda/recurrence/cells.cuh"
#include "kernels/cuda/recurrence/dispatch.h"
#include "kernels/cuda/recurrence/strategies.h"

namespace reel::cuda {
namespace {

constexpr int kThreads = 256;

struct StepForwardArgs {
  RnnForwardArgs all;
  const float* product;  // [B, H] W_hh . h[t]
  int t;
};

/// A block for each batch row.
template <Cell kCell>
__global__ void step_forward_kernel(StepForwardArgs args) {
  const RnnForwardArgs& all = args.all;
  const int b = static_cast<int>(blockIdx.x), H = all.hidden, t = args.t;
  if (t >= all.lengths[b]) return;
  const float* const input = all.input + static_cast<std::size_t>(all.row_of[b * all.steps + t]) * H;
  const float* const product = args.product + static_cast<std::size_t>(b) * H;
  float* const next = all.h + (static_cast<std::size_t>(t + 1) * all.batch + b) * H;
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    next[j] = next_state<kCell>(product[j] + input[j]);
  }
}

struct StepBackwardArgs {
  RnnBackwardArgs all;
  const float* d_h;  // [B, H] W_hh^T dz[t+1]
  int t;
};

/// A block for each batch row.
template <Cell kCell>
__global__ void step_backward_kernel(StepBackwardArgs args) {
  const RnnBackwardArgs& all = args.all;
  const int b = static_cast<int>(blockIdx.x), H = all.hidden, t = args.t, length = all.lengths[b];
  const std::size_t step = static_cast<std::size_t>(all.batch) * H;
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    const std::size_t i = static_cast<std::size_t>(b) * H + j;
    float d_z = 0;
    if (t < length) {
      const float d_h = (t == length - 1 ? all.d_output.last_at(i) : args.d_h[i]) + all.d_output.every_at(i);
      d_z = input_gradient<kCell>(d_h, all.h[(t + 1) * step + i]);
    }
    all.dz[t * step + i] = d_z;
  }
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
    launch(kernel, per_block(context, B, kThreads), {RnnForwardArgs(op), product, static_cast<int>(t)});
  }
}

void rnn_backward_stepwise(CudaContext& context, const RecurrenceBackward<float>& op) {
  const auto [B, T, H] = op.shape;
  context.scratch.reserve(Scratch::need<float>(B * H));
  float* const d_h = context.scratch.take<float>(B * H);
  void (*kernel)(StepBackwardArgs) = nullptr;
  with_cell(op.cell, [&](auto cell) { kernel = step_backward_kernel<cell()>; });
  for (std::int64_t t = T - 1; t >= 0; --t) {
    launch(kernel, per_block(context, B, kThreads), {RnnBackwardArgs(op), d_h, static_cast<int>(t)});
    if (t == 0) break;
    context.platform.product({.m = B, .n = H, .k = H, .a = op.dz.data() + t * B * H, .b = op.w_hh.data(), .c = d_h});
  }
}

}  // namespace reel::cuda
