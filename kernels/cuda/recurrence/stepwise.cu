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
  const float* product;  // [B, G*H] W_hh . h[t]
  float* c;              // [B, H] of LSTM: the last step's
  int t;
};

/// c of unit j of row b before step t, of LSTM; `later`: where it stands after step t - 1, read for t > 0 alone.
template <class Args>
__device__ float cell_before(const Args& args, int t, const float* later, int b, int j) {
  if (t > 0) return *later;
  return args.initial_c == nullptr ? 0.0f : args.initial_c[static_cast<std::size_t>(b) * args.hidden + j];
}

/// A block for each batch row.
template <Cell kCell>
__global__ void step_forward_kernel(StepForwardArgs args) {
  constexpr int kGates = traits(kCell).gates, kSaved = traits(kCell).saved;
  const RnnForwardArgs& all = args.all;
  const int b = static_cast<int>(blockIdx.x), H = all.hidden, t = args.t;
  if (t >= all.lengths[b]) return;
  const float* const input = all.input + static_cast<std::size_t>(all.row_of[b * all.steps + t]) * kGates * H;
  const float* const product = args.product + static_cast<std::size_t>(b) * kGates * H;
  const std::size_t step = static_cast<std::size_t>(t) * all.batch + b;
  const float* const h = all.h + step * H;
  float* const next = all.h + (step + all.batch) * H;
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    if constexpr (kGates == 1) {
      next[j] = next_state<kCell>(product[j] + input[j]);
    } else {
      float* const kept = args.c + static_cast<std::size_t>(b) * H + j;
      float c = kCell == Cell::kLstm ? cell_before(all, t, kept, b, j) : 0.0f;
      const float b_hh = traits(kCell).recurrent_bias ? all.b_hh[j] : 0.0f;
      float gates[4];
#pragma unroll
      for (int g = 0; g < 4; ++g) {
        const int from = min(g, kGates - 1) * H + j;  // of GRU's input: see gate_value()
        gates[g] = gate_value<kCell>(g, product[from], input[from], b_hh);
      }
      next[j] = next_gated_state<kCell>(gates, h[j], c);
      if (kCell == Cell::kLstm) *kept = c;
      if (all.saved == nullptr) continue;
      float* const saved = all.saved + step * kSaved * H + j;
#pragma unroll
      for (int s = 0; s < kSaved; ++s) saved[s * H] = s < 4 ? gates[s] : c;
    }
  }
}

struct StepBackwardArgs {
  RnnBackwardArgs all;
  StepGradientArgs single;
  const float* d_h;  // [B, H] W_hh^T d_recurrent[t+1]
  float* carry;      // [B, H] of gated cells
  int t;
};

/// A block for each batch row.
template <Cell kCell>
__global__ void step_backward_kernel(StepBackwardArgs args) {
  constexpr int kGates = traits(kCell).gates, kSaved = traits(kCell).saved;
  const RnnBackwardArgs& all = args.all;
  const int b = static_cast<int>(blockIdx.x), H = all.hidden, t = args.t, length = all.lengths[b];
  const std::size_t step = static_cast<std::size_t>(t) * all.batch + b;
  float* const d_input = all.d_input + step * kGates * H;
  float* const d_recurrent = all.d_recurrent + step * kGates * H;
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    const std::size_t i = static_cast<std::size_t>(b) * H + j;
    if (t >= length) {
      for (int g = 0; g < kGates; ++g) d_input[g * H + j] = d_recurrent[g * H + j] = 0;
      continue;
    }
    const bool last = t == length - 1;
    const float d_h = (last ? all.d_output.last_at(i) : args.d_h[i]) + all.d_output.every_at(i) +
                      args.single.at(b, t, j, all.steps, H);
    if constexpr (kGates == 1) {
      d_input[j] = input_gradient<kCell>(d_h, all.h[(step + all.batch) * H + j]);
    } else {
      if (last) args.carry[i] = 0;
      const float* const kept = all.saved + step * kSaved * H + j;
      const float* const c_before = t == 0 ? nullptr : kept - static_cast<std::size_t>(all.batch) * kSaved * H + 4 * H;
      float saved[kSaved];
#pragma unroll
      for (int s = 0; s < kSaved; ++s) saved[s] = kept[s * H];
      const float before = kCell == Cell::kLstm ? cell_before(all, t, c_before, b, j) : all.h[step * H + j];
      const GateGradients d = gate_gradients<kCell>(saved, before, d_h, args.carry[i]);
#pragma unroll
      for (int g = 0; g < kGates; ++g) {
        d_input[g * H + j] = d.d_input[g];
        d_recurrent[g * H + j] = d.recurrent<kCell>(g);
      }
    }
  }
}

}  // namespace

void rnn_forward_stepwise(CudaContext& context, const RecurrenceForward<float>& op) {
  const auto [B, T, H] = op.shape;
  const std::int64_t GH = traits(op.cell).gates * H;
  context.scratch.reserve(Scratch::need<float>(B * GH) + Scratch::need<float>(B * H));
  float* const product = context.scratch.take<float>(B * GH);
  // Rows that have ended keep theirs, which is what final_c asks for; of a row without steps it is the initial one.
  float* const c = op.final_c.empty() ? context.scratch.take<float>(B * H) : op.final_c.data();
  if (!op.initial_c.empty() && !op.final_c.empty() && op.initial_c.data() != op.final_c.data()) {
    context.platform.copy(c, op.initial_c.data(), static_cast<std::size_t>(B * H) * sizeof(float));
  } else if (op.initial_c.empty() && !op.final_c.empty()) {
    context.platform.clear(c, static_cast<std::size_t>(B * H) * sizeof(float));
  }
  void (*kernel)(StepForwardArgs) = nullptr;
  with_cell(op.cell, [&](auto cell) { kernel = step_forward_kernel<cell()>; });
  for (std::int64_t t = 0; t < T; ++t) {
    float* const h = op.h.data() + t * B * H;
    context.platform.product(
        {.m = B, .n = GH, .k = H, .a = h, .b = op.w_hh.data(), .c = product, .b_transposed = true});
    launch(kernel, per_block(context, B, kThreads), {RnnForwardArgs(op), product, c, static_cast<int>(t)});
  }
}

void rnn_backward_stepwise(CudaContext& context, const RecurrenceBackward<float>& op) {
  const auto [B, T, H] = op.shape;
  const std::int64_t GH = traits(op.cell).gates * H;
  context.scratch.reserve(2 * Scratch::need<float>(B * H));
  float* const d_h = context.scratch.take<float>(B * H);
  float* const carry = context.scratch.take<float>(B * H);
  void (*kernel)(StepBackwardArgs) = nullptr;
  with_cell(op.cell, [&](auto cell) { kernel = step_backward_kernel<cell()>; });
  for (std::int64_t t = T - 1; t >= 0; --t) {
    launch(kernel, per_block(context, B, kThreads),
           {RnnBackwardArgs(op), StepGradientArgs(op.d_output), d_h, carry, static_cast<int>(t)});
    if (t == 0) break;
    context.platform.product(
        {.m = B, .n = H, .k = GH, .a = op.recurrent_gradient().data() + t * B * GH, .b = op.w_hh.data(), .c = d_h});
  }
}

}  // namespace reel::cuda
