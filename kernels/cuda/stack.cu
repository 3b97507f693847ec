// A layer's states as the input of the one above: the index of steps, its reversal, and dropout in between. A thread
// for each step, or a block for each step and a thread for each column.
//
// Every step of [T, B] is listed, whether its row has it or not, so that the states stand in for gathered rows and no
// size has to come back from the device: what flows back into a step that is not there is 0.
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/operations.h"

namespace reel::cuda {
namespace {

constexpr int kThreads = 128;

struct IndexStepsArgs {
  std::int32_t *count, *tokens, *slot, *row_of, *segment, *position;
  int batch, steps;
};

__global__ void index_steps_kernel(IndexStepsArgs args) {
  const auto i = static_cast<int>(global_thread());
  const int positions = args.batch * args.steps;
  if (i > positions) return;
  args.segment[i] = i;
  if (i == positions) {
    args.count[0] = positions;
    return;
  }
  args.tokens[i] = args.slot[i] = args.position[i] = i;
  args.row_of[i % args.batch * args.steps + i / args.batch] = i;
}

struct ReverseArgs {
  const std::int32_t *lengths, *row_of, *position;
  std::int32_t *reverse_row_of, *reverse_position;  // the latter or null
  int batch, steps;
};

/// Step t counted from the end of its row; steps that are not there stay.
__device__ inline int reversed(int t, int length) { return t < length ? length - 1 - t : t; }

__global__ void reverse_index_kernel(ReverseArgs args) {
  const auto i = static_cast<int>(global_thread());
  if (i >= args.batch * args.steps) return;
  const int row = i / args.steps, t = i % args.steps;
  args.reverse_row_of[i] = args.row_of[row * args.steps + reversed(t, args.lengths[row])];
  if (args.reverse_position == nullptr) return;
  const int position = args.position[i], b = position % args.batch;
  args.reverse_position[i] = reversed(position / args.batch, args.lengths[b]) * args.batch + b;
}

/// LayerDropout with what its positions depend on.
struct LayerDropoutArgs {
  RandomKey key;
  const StepClock* clock;  // or null
  float rate;
  bool variational;
  std::int64_t layer;
  int batch, steps;

  LayerDropoutArgs(const LayerDropout& dropout, std::int64_t B, std::int64_t T)
      : key(dropout.key),
        clock(dropout.clock),
        rate(dropout.rate),
        variational(dropout.variational),
        layer(dropout.layer),
        batch(static_cast<int>(B)),
        steps(static_cast<int>(T)) {}

  __device__ float factor(int b, int t, int j, int width) const {
    const std::int64_t of_layer = layer * batch + b, row = variational ? of_layer : of_layer * steps + t;
    return dropout_factor(rate, key, clock, static_cast<std::size_t>(row * width + j));
  }
};

struct StackArgs {
  const std::int32_t* lengths;  // [B]
  const float *h, *h_reverse;   // [T+1, B, H]; the latter or null
  float* rows;                  // [T, B, W]
  int hidden, width;
  LayerDropoutArgs dropout;
};

__global__ void stack_states_kernel(StackArgs args) {
  const auto position = static_cast<int>(blockIdx.x);
  const int B = args.dropout.batch, t = position / B, b = position % B, length = args.lengths[b], H = args.hidden;
  float* const row = args.rows + static_cast<std::size_t>(position) * args.width;
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    float value = 0;
    if (t < length) {
      const int step = j < H ? t + 1 : length - t;
      const float* const states = j < H ? args.h : args.h_reverse;
      value = states[(static_cast<std::size_t>(step) * B + b) * H + j % H] * args.dropout.factor(b, t, j, args.width);
    }
    row[j] = value;
  }
}

struct StackGradientArgs {
  float* d_rows;  // [T, B, W]: every step is listed, in order
  int width;
  LayerDropoutArgs dropout;
};

__global__ void stack_gradient_kernel(StackGradientArgs args) {
  const auto position = static_cast<int>(blockIdx.x);
  float* const row = args.d_rows + static_cast<std::size_t>(position) * args.width;
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    row[j] *= args.dropout.factor(position % args.dropout.batch, position / args.dropout.batch, j, args.width);
  }
}

}  // namespace

void execute(CudaContext& context, const IndexSteps& op) {
  const auto [B, T] = op.shape;
  const TokenIndex& index = op.index;
  launch(index_steps_kernel, over(context, B * T + 1, {.bytes = bytes_of(5 * B * T)}),
         {index.count.data(), index.tokens.data(), index.slot.data(), index.row_of.data(), index.segment.data(),
          index.position.data(), static_cast<int>(B), static_cast<int>(T)});
}

void execute(CudaContext& context, const ReverseIndex& op) {
  const auto [B, T] = op.shape;
  launch(reverse_index_kernel, over(context, B * T, {.bytes = bytes_of(4 * B * T), .loads = 2}),
         {op.lengths.data(), op.row_of.data(), op.position.data(), op.reverse_row_of.data(), op.reverse_position.data(),
          static_cast<int>(B), static_cast<int>(T)});
}

void execute(CudaContext& context, const StackStates<float>& op) {
  const auto [B, T, H] = op.shape;
  launch(stack_states_kernel,
         per_block(context, B * T, kThreads, {.bytes = bytes_of(2 * B * T * op.width()), .loads = 2}),
         {op.lengths.data(), op.h.data(), op.h_reverse.data(), op.rows.data(), static_cast<int>(H),
          static_cast<int>(op.width()), LayerDropoutArgs(op.dropout, B, T)});
}

void execute(CudaContext& context, const StackGradient<float>& op) {
  if (op.dropout.rate <= 0) return;
  const auto [B, T] = op.shape;
  launch(stack_gradient_kernel,
         per_block(context, B * T, kThreads, {.bytes = bytes_of(2 * B * T * op.width), .loads = 1}),
         {op.d_rows.data(), static_cast<int>(op.width), LayerDropoutArgs(op.dropout, B, T)});
}

}  // namespace reel::cuda
