// The loss of rows of several logits: a block for each row, whose threads take the logits in turns; then one block that
// adds the rows' losses. All orders are fixed.
#include "kernels/cuda/losses.h"

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/losses.cuh"
#include "kernels/cuda/reduce.cuh"

namespace reel::cuda {
namespace {

constexpr int kThreads = 256;

struct RowLossArgs {
  LossArgs loss;
  float* d_logits;         // [B, C]
  double* losses;          // [B]
  double* correct;         // [B], of kSigmoid how many of C
  BatchStats* stats;       // of the clock's slot
  const StepClock* clock;  // or null
};

/// A row's loss before its weight, and whether it is right, in every thread.
struct RowLoss {
  double loss, correct;
};

__device__ inline RowLoss softmax_row(const RowLossArgs& args, int b, double* partial, Largest* largest) {
  const LossArgs& loss = args.loss;
  const float* const logits = loss.logits + logit_index(loss, b, 0);
  float* const d_logits = args.d_logits + logit_index(loss, b, 0);
  const Largest logit = block_largest(logits, loss.outputs, largest);
  const int label = loss.labels != nullptr
                        ? loss.labels[b]
                        : block_largest(loss.targets + logit_index(loss, b, 0), loss.outputs, largest).index;
  double sum = 0, targets = 0;
  for (int c = static_cast<int>(threadIdx.x); c < loss.outputs; c += kThreads) {
    const float exponential = expf(logits[c] - logit.value);
    d_logits[c] = exponential;
    sum += static_cast<double>(exponential);
    targets += static_cast<double>(target_of(loss, b, c));
  }
  sum = block_sum(sum, partial);
  targets = block_sum(targets, partial);
  const double log_sum = log(sum);
  const float scale = static_cast<float>(targets / sum);
  double product = 0;
  for (int c = static_cast<int>(threadIdx.x); c < loss.outputs; c += kThreads) {
    const float target = target_of(loss, b, c);
    const double below = static_cast<double>(logits[c]) - static_cast<double>(logit.value);
    if (target != 0) product += static_cast<double>(target) * (log_sum - below);
    d_logits[c] = mean_gradient(loss, b, d_logits[c] * scale - target);
  }
  return {block_sum(product, partial), logit.index == label ? 1.0 : 0.0};
}

/// Of losses that are a mean of the logits' own.
__device__ inline RowLoss mean_row(const RowLossArgs& args, int b, double* partial) {
  const LossArgs& loss = args.loss;
  double sum = 0, correct = 0;
  for (int c = static_cast<int>(threadIdx.x); c < loss.outputs; c += kThreads) {
    const std::size_t i = logit_index(loss, b, c);
    const float x = loss.logits[i], y = target_of(loss, b, c);
    sum += logit_loss(loss, c, x, y);
    correct += logit_is_right(loss, x, y) ? 1 : 0;
    args.d_logits[i] = mean_gradient(loss, b, logit_gradient(loss, c, x, y));
  }
  sum = block_sum(sum, partial);
  return {sum / loss.terms, block_sum(correct, partial)};
}

__global__ void head_losses_kernel(RowLossArgs args) {
  REEL_SHARED(double[32], partial);
  REEL_SHARED(Largest[32], largest);
  const int b = static_cast<int>(blockIdx.x);
  const RowLoss row = args.loss.loss == Loss::kSoftmax ? softmax_row(args, b, &partial[0], &largest[0])
                                                       : mean_row(args, b, &partial[0]);
  if (threadIdx.x > 0) return;
  args.losses[b] = row.loss * static_cast<double>(weight_of(args.loss, b));
  args.correct[b] = row.correct;
}

__global__ void add_losses_kernel(RowLossArgs args) {
  REEL_SHARED(double[32], partial);
  double loss = 0, correct = 0;
  for (int b = static_cast<int>(threadIdx.x); b < args.loss.batch; b += kThreads) {
    loss += args.losses[b];
    correct += args.correct[b];
  }
  loss = block_sum(loss, &partial[0]);
  correct = block_sum(correct, &partial[0]);
  if (threadIdx.x > 0) return;
  args.stats[slot_at(args.clock)] = {.loss_sum = loss, .correct = correct / args.loss.terms, .grad_norm = 0};
}

}  // namespace

std::size_t losses_scratch(const HeadBackward<float>& op) { return 2 * Scratch::need<double>(op.shape.batch); }

void measure_losses(CudaContext& context, const HeadBackward<float>& op, float* d_logits) {
  const std::int64_t B = op.shape.batch;
  const RowLossArgs kernel_args{.loss = loss_args(op),
                                .d_logits = d_logits,
                                .losses = context.scratch.take<double>(B),
                                .correct = context.scratch.take<double>(B),
                                .stats = op.stats.data(),
                                .clock = op.clock};
  const std::int64_t C = op.outputs(), turns = (C + kThreads - 1) / kThreads;
  launch(head_losses_kernel,
         per_block(context, B, kThreads, {.bytes = bytes_of(3 * B * C), .loads = static_cast<double>(3 * turns)}),
         kernel_args);
  launch(add_losses_kernel,
         per_block(context, 1, kThreads,
                   {.bytes = 16 * static_cast<double>(B), .loads = static_cast<double>((B + kThreads - 1) / kThreads)}),
         kernel_args);
}

}  // namespace reel::cuda
