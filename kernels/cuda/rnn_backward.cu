// Back-propagation through time in one launch: dz[t, b] = d h[t+1, b] act'(h[t+1, b]), d h[t, b] = W_hh^T dz[t, b].
//
// The mirror of rnn_forward.cu: a block keeps W_hh^T and walks through batch rows from their last token to their first.
// dz is double-buffered in shared memory, one barrier a step; h is fetched kAhead steps early by cp.async into slots
// that only the fetching thread reads. Steps after a row's end get dz = 0, so that d_w_hh is one product over all
// steps.
#include <cuda_ptx.h>

#include <algorithm>

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/resident_matrix.cuh"
#include "kernels/cuda/rnn_arguments.cuh"
#include "kernels/cuda/rnn_kernels.h"

namespace reel::cuda {
namespace {

constexpr int kAhead = 4;  // steps between fetching a state and using it

template <int kHidden, Nonlinearity kNonlinearity>
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
    const std::size_t place = static_cast<std::size_t>(b) * H + column;
    const int length = args.lengths[b];
    const auto fetch = [&](int t) {  // h[t+1]
      if (owner && t >= 0) cp_async_4(&states[t % kAhead][column], args.h + (t + 1) * step_size + place);
      cp_async_commit();
    };
    for (int t = length - 1; t > length - 1 - kAhead; --t) fetch(t);
    const float pooled = column < H ? args.d_pooled[place] : 0.0f;
    const float each = !args.mean ? 0.0f : length > 0 ? pooled / static_cast<float>(length) : 0.0f;
    float d_h = args.mean ? each : pooled;
    for (int t = length; t < args.steps; ++t) {
      if (owner) args.dz[t * step_size + place] = 0;
    }
    for (int t = length - 1; t >= 0; --t) {
      cp_async_wait<kAhead - 1>();
      if (threadIdx.x % 2 == 0) {
        const float d_z = owner ? through_activation<kNonlinearity>(d_h, states[t % kAhead][column]) : 0.0f;
        gradients[buffer][column] = d_z;
        if (owner) args.dz[t * step_size + place] = d_z;
      }
      fetch(t - kAhead);
      __syncthreads();
      d_h = w_hh.times(gradients[buffer]) + (t > 0 ? each : 0.0f);
      buffer ^= 1;
    }
    if (owner && args.d_h0 != nullptr) args.d_h0[place] = d_h;
  }
}

template <int kHidden>
void run(CudaContext& context, const RnnBackward<float>& args) {
  const Shape& s = args.shape;
  const auto kernel = args.nonlinearity == Nonlinearity::kTanh ? rnn_backward_kernel<kHidden, Nonlinearity::kTanh>
                                                               : rnn_backward_kernel<kHidden, Nonlinearity::kRelu>;
  const std::int64_t blocks = std::min<std::int64_t>(s.batch, 2 * context.platform.limits().multiprocessors);
  launch(kernel,
         {.grid = dim3(static_cast<unsigned>(blocks)),
          .block = dim3(ResidentMatrix<kHidden>::kThreads),
          .shared = ResidentMatrix<kHidden>::kSharedFloats * sizeof(float),
          .stream = context.platform.stream()},
         RnnBackwardArgs(args));
}

}  // namespace

void rnn_backward_resident(CudaContext& context, const RnnBackward<float>& args) {
  if (args.shape.hidden <= 64) return run<64>(context, args);
  if (args.shape.hidden <= 128) return run<128>(context, args);
  run<256>(context, args);
}

}  // namespace reel::cuda
