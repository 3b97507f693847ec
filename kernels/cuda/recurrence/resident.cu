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
#include "kernels/cuda/recurrence/resident_matrix.cuh"
#include "kernels/cuda/recurrence/strategies.h"

namespace reel::cuda {
namespace {

constexpr Widths<64, 128, 256> kWidths;
constexpr int kAhead = 4;  // steps between fetching a value and using it

/// The inputs of one batch row, fetched ahead.
template <int kHidden>
struct InputQueue {
  const std::int32_t* row_of;  // of the batch row
  const float* input;          // this thread's column
  float* slots;                // [kAhead] of this thread, kHidden floats apart
  int hidden, length;
  bool owner;
  int next_row = 0;

  __device__ void begin() {
    for (int t = 0; t < kAhead; ++t) {
      if (t < length) next_row = row_of[t];
      fetch(t);
    }
  }
  /// Starts fetching step t, whose row was read one step ago, and reads the row of the step after it.
  __device__ void fetch(int t) {
    if (owner && t < length) {
      cp_async_4(slots + t % kAhead * kHidden, input + static_cast<std::size_t>(next_row) * hidden);
    }
    cp_async_commit();
    if (t + 1 < length) next_row = row_of[t + 1];
  }
  __device__ float take(int t) const {
    cp_async_wait<kAhead - 1>();
    return owner ? slots[t % kAhead * kHidden] : 0.0f;
  }
};

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
    InputQueue<kHidden> queue{args.row_of + static_cast<std::size_t>(b) * args.steps,
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

template <int kHidden, Cell kCell>
__global__ void __launch_bounds__(2 * kHidden) rnn_backward_kernel(RnnBackwardArgs args) {
  using Matrix = ResidentMatrix<kHidden>;
  REEL_SHARED(float[2][kHidden], gradients);
  REEL_SHARED(float[kAhead][kHidden], states);
  REEL_DYNAMIC_SHARED(float, spilled);
  Matrix w_hh;
  w_hh.load(args.w_hh, args.hidden, true, spilled);
  const int H = args.hidden, column = w_hh.row;
  const bool owner = threadIdx.x % 2 == 0 && column < H;
  const std::size_t step_size = static_cast<std::size_t>(args.batch) * H;
  int buffer = 0;  // goes on from row to row: a slow thread may still read the last row's buffer

  for (int b = static_cast<int>(blockIdx.x); b < args.batch; b += static_cast<int>(gridDim.x)) {
    const std::size_t i = static_cast<std::size_t>(b) * H + column;
    const int length = args.lengths[b];
    const auto fetch = [&](int t) {  // h[t+1]
      if (owner && t >= 0) cp_async_4(&states[t % kAhead][column], args.h + (t + 1) * step_size + i);
      cp_async_commit();
    };
    for (int t = length - 1; t > length - 1 - kAhead; --t) fetch(t);
    const float every = column < H ? args.d_output.every_at(i) : 0.0f;
    float d_h = column < H ? args.d_output.last_at(i) + every : 0.0f;
    for (int t = length; t < args.steps; ++t) {
      if (owner) args.d_input[t * step_size + i] = 0;
    }
    for (int t = length - 1; t >= 0; --t) {
      cp_async_wait<kAhead - 1>();
      if (threadIdx.x % 2 == 0) {
        const float d_z = owner ? input_gradient<kCell>(d_h, states[t % kAhead][column]) : 0.0f;
        gradients[buffer][column] = d_z;
        if (owner) args.d_input[t * step_size + i] = d_z;
      }
      fetch(t - kAhead);
      __syncthreads();
      d_h = w_hh.times(gradients[buffer]) + every;
      buffer ^= 1;
    }
  }
}

template <int kHidden, class Args>
void run(CudaContext& context, void (*kernel)(Args), const Args& args) {
  const int blocks = std::min(args.batch, 2 * context.platform.limits().multiprocessors);
  launch(kernel,
         {.grid = dim3(static_cast<unsigned>(blocks)),
          .block = dim3(ResidentMatrix<kHidden>::kThreads),
          .shared = ResidentMatrix<kHidden>::kSharedFloats * sizeof(float),
          .stream = context.platform.stream()},
         args);
}

}  // namespace

std::size_t resident_shared_bytes(std::int64_t hidden) {
  return hidden > 128 ? ResidentMatrix<256>::kSharedFloats * sizeof(float) + (2 + kAhead) * 256 * sizeof(float) : 0;
}

void rnn_forward_resident(CudaContext& context, const RecurrenceForward<float>& op) {
  with_width_and_cell(kWidths, op, [&](auto width, auto cell) {
    run<width()>(context, rnn_forward_kernel<width(), cell()>, RnnForwardArgs(op));
  });
}

void rnn_backward_resident(CudaContext& context, const RecurrenceBackward<float>& op) {
  with_width_and_cell(kWidths, op, [&](auto width, auto cell) {
    run<width()>(context, rnn_backward_kernel<width(), cell()>, RnnBackwardArgs(op));
  });
}

}  // namespace reel::cuda
