// The recurrence for any H: a product over the whole batch and a pointwise kernel, step by step. Rows that have ended
// take part in the products, whose results for them are not used.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/rnn_kernels.h"

namespace reel::cuda {
namespace {

constexpr unsigned kThreads = 256;

struct StepForwardArgs {
  const std::int32_t* row;      // [B, T]
  const std::int32_t* lengths;  // [B]
  const float* projected;       // [U, H]
  const float* product;         // [B, H] W_hh . h[t]
  float* next;                  // [B, H] h[t+1]
  int steps, hidden, t;
};

/// A block for each batch row.
template <Nonlinearity kNonlinearity>
__global__ void step_forward_kernel(StepForwardArgs args) {
  const int b = static_cast<int>(blockIdx.x), H = args.hidden;
  if (args.t >= args.lengths[b]) return;
  const float* input = args.projected + static_cast<std::size_t>(args.row[b * args.steps + args.t]) * H;
  const std::size_t place = static_cast<std::size_t>(b) * H;
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    args.next[place + j] = activate<kNonlinearity>(args.product[place + j] + input[j]);
  }
}

struct StepBackwardArgs {
  const std::int32_t* lengths;  // [B]
  const float* next;            // [B, H] h[t+1]
  const float* d_pooled;        // [B, H]
  const float* d_h;             // [B, H] W_hh^T dz[t+1]
  float* dz;                    // [B, H] of step t
  int hidden, t;
  bool mean;
};

__device__ inline float pooled_gradient(const float* d_pooled, std::size_t i, int length, bool mean) {
  if (!mean) return d_pooled[i];
  return length > 0 ? d_pooled[i] / static_cast<float>(length) : 0.0f;
}

/// A block for each batch row.
template <Nonlinearity kNonlinearity>
__global__ void step_backward_kernel(StepBackwardArgs args) {
  const int b = static_cast<int>(blockIdx.x), H = args.hidden, length = args.lengths[b];
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    const std::size_t i = static_cast<std::size_t>(b) * H + j;
    float d_z = 0;
    if (args.t < length) {
      const bool last = args.t == length - 1;
      float d_h = last ? 0.0f : args.d_h[i];
      if (last || args.mean) d_h += pooled_gradient(args.d_pooled, i, length, args.mean);
      d_z = through_activation<kNonlinearity>(d_h, args.next[i]);
    }
    args.dz[i] = d_z;
  }
}

struct InitialGradientArgs {
  const std::int32_t* lengths;  // [B]
  const float* d_pooled;        // [B, H]
  const float* d_h;             // [B, H]
  float* d_h0;                  // [B, H]
  int hidden;
  bool mean;
};

__global__ void initial_gradient_kernel(InitialGradientArgs args) {
  const int b = static_cast<int>(blockIdx.x), H = args.hidden, length = args.lengths[b];
  for (int j = static_cast<int>(threadIdx.x); j < H; j += static_cast<int>(blockDim.x)) {
    const std::size_t i = static_cast<std::size_t>(b) * H + j;
    args.d_h0[i] = length > 0 ? args.d_h[i] : pooled_gradient(args.d_pooled, i, length, args.mean);
  }
}

Launch row_by_row(CudaContext& context, std::int64_t batch) {
  return {.grid = dim3(static_cast<unsigned>(batch)), .block = dim3(kThreads), .stream = context.platform.stream()};
}

}  // namespace

void rnn_forward_stepwise(CudaContext& context, const RnnForward<float>& args) {
  const auto [V, E, H, B, T] = args.shape;
  context.scratch.reserve(Scratch::need<float>(B * H));
  float* const product = context.scratch.take<float>(B * H);
  const auto kernel = args.nonlinearity == Nonlinearity::kTanh ? step_forward_kernel<Nonlinearity::kTanh>
                                                               : step_forward_kernel<Nonlinearity::kRelu>;
  for (std::int64_t t = 0; t < T; ++t) {
    float* const h = args.h.data() + t * B * H;
    context.platform.product(
        {.m = B, .n = H, .k = H, .a = h, .b = args.w_hh.data(), .c = product, .b_transposed = true});
    launch(kernel, row_by_row(context, B),
           {args.row.data(), args.lengths.data(), args.projected.data(), product, h + B * H, static_cast<int>(T),
            static_cast<int>(H), static_cast<int>(t)});
  }
}

void rnn_backward_stepwise(CudaContext& context, const RnnBackward<float>& args) {
  const auto [V, E, H, B, T] = args.shape;
  const bool mean = args.pool == Pool::kMean;
  context.scratch.reserve(Scratch::need<float>(B * H));
  float* const d_h = context.scratch.take<float>(B * H);
  const auto kernel = args.nonlinearity == Nonlinearity::kTanh ? step_backward_kernel<Nonlinearity::kTanh>
                                                               : step_backward_kernel<Nonlinearity::kRelu>;
  for (std::int64_t t = T - 1; t >= 0; --t) {
    float* const dz = args.dz.data() + t * B * H;
    launch(kernel, row_by_row(context, B),
           {args.lengths.data(), args.h.data() + (t + 1) * B * H, args.d_pooled.data(), d_h, dz, static_cast<int>(H),
            static_cast<int>(t), mean});
    context.platform.product({.m = B, .n = H, .k = H, .a = dz, .b = args.w_hh.data(), .c = d_h});
  }
  if (args.d_h0.empty()) return;
  launch(initial_gradient_kernel, row_by_row(context, B),
         {args.lengths.data(), args.d_pooled.data(), d_h, args.d_h0.data(), static_cast<int>(H), mean});
}

}  // namespace reel::cuda
