// The recurrence and its back-propagation through time, each in one launch.
//
// Forward, a block keeps W_hh (resident_matrix.cuh) and walks through batch rows, each from its first token to its
// last: no communication between blocks, one barrier a step, and a short row costs its own length only. The state is
// double-buffered in shared memory. A thread that owns an output fetches that element of the input row some steps
// early, by cp.async into a slot that it alone reads, so that its own wait suffices. It does so while the
// product's loads are under way.
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
constexpr int kAhead = 4;  // steps whose values are being fetched or used

template <int kHidden, Cell kCell>
__global__ void __launch_bounds__(2 * kHidden, ResidentMatrix<kHidden>::kBlocks)
    rnn_forward_kernel(RnnForwardArgs args) {
  using Matrix = ResidentMatrix<kHidden>;
  REEL_SHARED(float[2][kHidden], states);
  REEL_SHARED(float[kAhead][kHidden], inputs);
  REEL_DYNAMIC_SHARED(float, spilled);
  Matrix w_hh;
  w_hh.load(args.w_hh, args.hidden, false, spilled);
  const int H = args.hidden, column = w_hh.row;
  const bool owner = threadIdx.x % 2 == 0 && column < H;
  const int step_size = args.batch * H;
  if (threadIdx.x % 2 == 0) states[0][column] = states[1][column] = 0;  // from H on for good

  for (int i = static_cast<int>(blockIdx.x); i < args.batch; i += static_cast<int>(gridDim.x)) {
    const int b = kHidden <= 128 ? args.order[i] : i;  // at 256 units the loop wants all registers
    float* h = args.h + static_cast<std::size_t>(b) * H + column;
    InputQueue<kAhead, kHidden> queue{args.row_of + static_cast<std::size_t>(b) * args.steps,
                                      args.input + column,
                                      SlotRing<kAhead, kHidden>(inputs[0] + column),
                                      H * static_cast<int>(sizeof(float)),
                                      args.lengths[b],
                                      owner};
    queue.begin(kAhead - 1);
    if (owner) states[0][column] = *h;
    h += step_size;
    DoubleBuffer state{Matrix::part(states[0]), opaque_address(&states[1][column]), sizeof states[0]};
    __syncthreads();
#pragma unroll 1
    for (int t = 0; t < queue.length; ++t) {
      float input;
      const float sum = w_hh.times(state.read, [&] {
        queue.fetch(t + kAhead - 1);
        input = queue.take();
      });
      const float next = next_state<kCell>(sum + input);
      if (owner) {
        store_shared(state.write, next);
        *h = next;
      }
      h += step_size;
      state.swap();
      __syncthreads();
    }
  }
}

/// kSteps: with what flows into single steps, which is left out otherwise.
template <int kHidden, Cell kCell, bool kSteps>
__global__ void __launch_bounds__(2 * kHidden, ResidentMatrix<kHidden>::kBlocks)
    rnn_backward_kernel(RnnStepsBackwardArgs args) {
  using Matrix = ResidentMatrix<kHidden, kSteps>;
  constexpr bool kHasRegisters = kHidden < 256;  // for what saves a branch and a load
  REEL_SHARED(float[2][kHidden], gradients);
  REEL_SHARED(float[kSteps ? 2 : 1][kAhead][kHidden], fetched);  // h, and what flows into single steps
  REEL_DYNAMIC_SHARED(float, spilled);
  const RnnBackwardArgs& all = args.all;
  Matrix w_hh;
  w_hh.load(all.w_hh, all.hidden, true, spilled);
  const int H = all.hidden, column = w_hh.row;
  const bool owner = threadIdx.x % 2 == 0 && column < H;
  const int step_size = all.batch * H;
  if (threadIdx.x % 2 == 0) gradients[0][column] = gradients[1][column] = 0;  // from H on for good
  // Goes on from row to row: a slow thread may still read the last row's buffer.
  DoubleBuffer gradient{Matrix::part(gradients[1]), opaque_address(&gradients[0][column]),
                        -static_cast<int>(sizeof gradients[0])};

  for (int turn = static_cast<int>(blockIdx.x); turn < all.batch; turn += static_cast<int>(gridDim.x)) {
    const int b = all.order[turn];
    const std::size_t i = static_cast<std::size_t>(b) * H + column;
    const int length = all.lengths[b];
    SlotRing<kAhead, kHidden> slots(fetched[0][0] + column);
    StepGradientQueue single(args.single, b, column, all.steps, H, kSteps && owner);
    if (kHasRegisters) keep(single.width_bytes);
    const float* next_state = all.h + length * step_size + i;  // h[t+1] of the step t that is fetched next
    const auto fetch = [&](int t) {
      if (owner && t >= 0) cp_async_4(slots.current, next_state);
      next_state -= step_size;
      if constexpr (kSteps) {
        single.fetch(t, slots.current + sizeof fetched[0]);
        single.read_row(t - 1);
      }
      cp_async_commit();
      slots.advance();
    };
    if constexpr (kSteps) single.read_row(length - 1);
    for (int t = length - 1; t > length - 1 - kAhead; --t) fetch(t);
    const float every = column < H ? all.d_output.every_at(i) : 0.0f;
    float d_h = column < H ? all.d_output.last_at(i) + every : 0.0f;
    for (int t = length; t < all.steps; ++t) {
      if (owner) all.d_input[t * step_size + i] = 0;
    }
    float* d_input = all.d_input + (length - 1) * step_size + i;  // of step t
    float state, added = 0;
    const auto take = [&](int t) {
      cp_async_wait<kAhead - 1>();
      state = owner ? load_shared(slots.current) : 0.0f;
      if (kSteps && (kHasRegisters || owner)) added = single.take(t, slots.current + sizeof fetched[0]);
    };
    take(length - 1);
#pragma unroll 1
    for (int t = length - 1; t >= 0; --t) {
      if constexpr (kSteps) d_h += added;
      const float d_z = input_gradient<kCell>(d_h, state);
      if (owner) {
        store_shared(gradient.write, d_z);
        *d_input = d_z;
      }
      d_input -= step_size;
      gradient.swap();
      __syncthreads();
      const float sum = w_hh.times(gradient.read, [&] {
        fetch(t - kAhead);
        take(t - 1);
      });
      d_h = sum + every;
    }
  }
}

template <class Matrix, class Args>
void run(CudaContext& context, void (*kernel)(Args), std::int64_t batch, const Args& args) {
  const std::int64_t blocks = std::min<std::int64_t>(batch, 2 * context.platform.limits().multiprocessors);
  launch(kernel,
         {.grid = dim3(static_cast<unsigned>(blocks)),
          .block = dim3(Matrix::kThreads),
          .shared = Matrix::kSharedFloats * sizeof(float),
          .stream = context.platform.stream()},
         args);
}

}  // namespace

std::size_t resident_shared_bytes(std::int64_t hidden) {
  return hidden > 128 ? (ResidentMatrix<256, true>::kSharedFloats + (2 + 2 * kAhead) * 256) * sizeof(float) : 0;
}

void rnn_forward_resident(CudaContext& context, const RecurrenceForward<float>& op) {
  with_width_and_cell(kWidths, op, [&](auto width, auto cell) {
    run<ResidentMatrix<width()>>(context, rnn_forward_kernel<width(), cell()>, op.shape.batch, RnnForwardArgs(op));
  });
}

void rnn_backward_resident(CudaContext& context, const RecurrenceBackward<float>& op) {
  with_width_and_cell(kWidths, op, [&](auto width, auto cell) {
    if (op.d_output.has_steps()) {
      run<ResidentMatrix<width(), true>>(context, rnn_backward_kernel<width(), cell(), true>, op.shape.batch,
                                         RnnStepsBackwardArgs(op));
    } else {
      run<ResidentMatrix<width()>>(context, rnn_backward_kernel<width(), cell(), false>, op.shape.batch,
                                   RnnStepsBackwardArgs(op));
    }
  });
}

}  // namespace reel::cuda
