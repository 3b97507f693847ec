// The forward recurrence in one launch: h[t+1, b] = act(projected[row[b, t]] + W_hh . h[t, b]).
//
// A block keeps W_hh (resident_matrix.cuh) and walks through batch rows, each from its first token to its last: no
// communication between blocks, one barrier a step, and a short row costs its own length only. The state is double-
// buffered in shared memory. A thread that owns an output fetches that element of the projected row kAhead steps early,
// by cp.async into a slot that it alone reads, so that its own wait suffices.
#include <cuda_ptx.h>

#include <algorithm>

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/resident_matrix.cuh"
#include "kernels/cuda/rnn_arguments.cuh"
#include "kernels/cuda/rnn_kernels.h"

namespace reel::cuda {
namespace {

constexpr int kAhead = 4;  // steps between fetching an input and using it

/// The inputs of one batch row, fetched ahead.
template <int kHidden>
struct InputQueue {
  const std::int32_t* tokens;  // the batch row's rows of `projected`
  const float* projected;      // this thread's column
  float* slots;                // [kAhead] of this thread, kHidden floats apart
  int hidden, length;
  bool owner;
  int next_token = 0;

  __device__ void begin() {
    for (int t = 0; t < kAhead; ++t) {
      if (t < length) next_token = tokens[t];
      fetch(t);
    }
  }
  /// Starts fetching step t, whose token push() or begin() read one step ago, and reads the token after it.
  __device__ void fetch(int t) {
    if (owner && t < length) {
      cp_async_4(slots + t % kAhead * kHidden, projected + static_cast<std::size_t>(next_token) * hidden);
    }
    cp_async_commit();
    if (t + 1 < length) next_token = tokens[t + 1];
  }
  __device__ float take(int t) const {
    cp_async_wait<kAhead - 1>();
    return owner ? slots[t % kAhead * kHidden] : 0.0f;
  }
};

template <int kHidden, Nonlinearity kNonlinearity>
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
    InputQueue<kHidden> queue{args.row + static_cast<std::size_t>(b) * args.steps,
                              args.projected + column,
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
        const float state = activate<kNonlinearity>(sum + input);
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

template <int kHidden>
void run(CudaContext& context, const RnnForward<float>& args) {
  const Shape& s = args.shape;
  const auto kernel = args.nonlinearity == Nonlinearity::kTanh ? rnn_forward_kernel<kHidden, Nonlinearity::kTanh>
                                                               : rnn_forward_kernel<kHidden, Nonlinearity::kRelu>;
  const std::int64_t blocks = std::min<std::int64_t>(s.batch, 2 * context.platform.limits().multiprocessors);
  launch(kernel,
         {.grid = dim3(static_cast<unsigned>(blocks)),
          .block = dim3(ResidentMatrix<kHidden>::kThreads),
          .shared = ResidentMatrix<kHidden>::kSharedFloats * sizeof(float),
          .stream = context.platform.stream()},
         RnnForwardArgs(args));
}

}  // namespace

std::size_t resident_shared_bytes(std::int64_t hidden) {
  return hidden > 128 ? ResidentMatrix<256>::kSharedFloats * sizeof(float) + (2 + kAhead) * 256 * sizeof(float) : 0;
}

void rnn_forward_resident(CudaContext& context, const RnnForward<float>& args) {
  if (args.shape.hidden <= 64) return run<64>(context, args);
  if (args.shape.hidden <= 128) return run<128>(context, args);
  run<256>(context, args);
}

}  // namespace reel::cuda
