// The recurrence and its back-propagation through time, each in one launch.
//
// Forward, a block keeps W_hh (resident_matrix.cuh) and walks through batch rows, each from its first token to its
// last: no communication between blocks, one barrier a step, and a short row costs its own length only. The state is
// double-buffered in shared memory. A thread that owns an output fetches that element of the input row kAhead steps
// early, by cp.async into a slot that it alone reads, so that its own wait suffices.
//
// The backward pass mirrors it: a block keeps W_hh^T and walks through batch rows from their last token to their first,
// dz is what is double-buffered, h what is fetched early. Steps after a row's end get dz = 0, so that d_w_hh is one
// product over all steps.
#include <cuda_ptx.h>

#include <algorithm>

#include "kernels/cuda/recurrence/arguments.cuh"
#include "kernels/cuda/recurrence/cells.cuh"
#include "kernels/cuda/recurrence/dispatch.h"
#include "kernels/cuda/recurrence/queues.cuh"
#include "kernels/cuda/recurrence/resident_matrix.cuh"
#include "kernels/cuda/recurrence/strategies.h"

namespace reel::cuda {
namespace {

constexpr Widths<64, 128, 256> kWidths;
constexpr int kAhead = 4;  // steps between fetching a value and using it

template <int kHidden, Cell kCell>
__global__ void __launch_bounds__(2 * kHidden) rnn_forward_kernel(RnnForwardArgs args) {
  using Matrix = ResidentMatrix<kHidden>;
  REEL_SHARED(float[2][kHidden], states);
  REEL_SHARED(float[kAhead][kHidden], inputs);
  REEL_DYNAMIC_SHARED(float, spilled);
  Matrix w_hh;
  w_hh.load(args.w_hh, args.hidden, false, spilled);
  const int H = args.hidden, column = w_hh.row;
  const bool owner = threadIdx.x % 2 == 0 && column < H;
  const std::size_t step_size = static_cast<std::size_t>(args.batch) * H;

  for (int b = static_cast<int>(blockIdx.x); b < args.batch; b += static_cast<int>(gridDim.x)) {
    float* h = args.h + static_cast<std::size_t>(b) * H + column;  // of step t
    InputQueue<kAhead, kHidden> queue{args.row_of + static_cast<std::size_t>(b) * args.steps,
                                      args.input + column,
                                      inputs[0] + column,
                                      H,
                                      args.lengths[b],
                                      owner};
    queue.begin();
    if (threadIdx.x % 2 == 0) states[0][column] = owner ? *h : 0.0f;
    __syncthreads();
    for (int t = 0; t < queue.length; ++t) {
      const float sum = w_hh.times(states[t % 2]);
      const float input = queue.take(t);
      h += step_size;
      if (owner) {
        const float state = next_state<kCell>(sum + input);
        states[(t + 1) % 2][column] = state;
        *h = state;
      } else if (threadIdx.x % 2 == 0) {
        states[(t + 1) % 2][column] = 0;
      }
      queue.fetch(t + kAhead);
      __syncthreads();
    }
  }
}

/// kSteps: with what flows into single steps, which is left out otherwise.
template <int kHidden, Cell kCell, bool kSteps>
__global__ void __launch_bounds__(2 * kHidden) rnn_backward_kernel(RnnStepsBackwardArgs args) {
  using Matrix = ResidentMatrix<kHidden>;
  REEL_SHARED(float[2][kHidden], gradients);
  REEL_SHARED(float[kAhead][kHidden], states);
  REEL_SHARED(float[kSteps ? kAhead : 1][kHidden], step_gradients);
  REEL_DYNAMIC_SHARED(float, spilled);
  const RnnBackwardArgs& all = args.all;
  Matrix w_hh;
  w_hh.load(all.w_hh, all.hidden, true, spilled);
  const int H = all.hidden, column = w_hh.row;
  const bool owner = threadIdx.x % 2 == 0 && column < H;
  const std::size_t step_size = static_cast<std::size_t>(all.batch) * H;
  int buffer = 0;  // goes on from row to row: a slow thread may still read the last row's buffer

  for (int b = static_cast<int>(blockIdx.x); b < all.batch; b += static_cast<int>(gridDim.x)) {
    const std::size_t i = static_cast<std::size_t>(b) * H + column;
    const int length = all.lengths[b];
    StepGradientQueue<kAhead, kHidden> single(args.single, b, column, all.steps, H, kSteps && owner,
                                              step_gradients[0] + column);
    const auto fetch = [&](int t) {  // h[t+1]
      if (owner && t >= 0) cp_async_4(&states[t % kAhead][column], all.h + (t + 1) * step_size + i);
      if constexpr (kSteps) single.fetch(t);
      cp_async_commit();
    };
    for (int t = length - 1; t > length - 1 - kAhead; --t) {
      if constexpr (kSteps) single.read_row(t);
      fetch(t);
    }
    const float every = column < H ? all.d_output.every_at(i) : 0.0f;
    float d_h = column < H ? all.d_output.last_at(i) + every : 0.0f;
    for (int t = length; t < all.steps; ++t) {
      if (owner) all.d_input[t * step_size + i] = 0;
    }
    for (int t = length - 1; t >= 0; --t) {
      if constexpr (kSteps) single.read_row(t - kAhead);
      cp_async_wait<kAhead - 1>();
      if (threadIdx.x % 2 == 0) {
        if constexpr (kSteps) d_h += single.take(t);
        const float d_z = owner ? input_gradient<kCell>(d_h, states[t % kAhead][column]) : 0.0f;
        gradients[buffer][column] = d_z;
        if (owner) all.d_input[t * step_size + i] = d_z;
      }
      fetch(t - kAhead);
      __syncthreads();
      d_h = w_hh.times(gradients[buffer]) + every;
      buffer ^= 1;
    }
  }
}

template <int kHidden, class Args>
void run(CudaContext& context, void (*kernel)(Args), std::int64_t batch, const Args& args) {
  const std::int64_t blocks = std::min<std::int64_t>(batch, 2 * context.platform.limits().multiprocessors);
  launch(kernel,
         {.grid = dim3(static_cast<unsigned>(blocks)),
          .block = dim3(ResidentMatrix<kHidden>::kThreads),
          .shared = ResidentMatrix<kHidden>::kSharedFloats * sizeof(float),
          .stream = context.platform.stream()},
         args);
}

}  // namespace

std::size_t resident_shared_bytes(std::int64_t hidden) {
  return hidden > 128 ? (ResidentMatrix<256>::kSharedFloats + (2 + 2 * kAhead) * 256) * sizeof(float) : 0;
}

void rnn_forward_resident(CudaContext& context, const RecurrenceForward<float>& op) {
  with_width_and_cell(kWidths, op, [&](auto width, auto cell) {
    run<width()>(context, rnn_forward_kernel<width(), cell()>, op.shape.batch, RnnForwardArgs(op));
  });
}

void rnn_backward_resident(CudaContext& context, const RecurrenceBackward<float>& op) {
  with_width_and_cell(kWidths, op, [&](auto width, auto cell) {
    const bool steps = op.d_output.has_steps();
    run<width()>(context,
                 steps ? rnn_backward_kernel<width(), cell(), true> : rnn_backward_kernel<width(), cell(), false>,
                 op.shape.batch, RnnStepsBackwardArgs(op));
  });
}

}  // namespace reel::cuda
