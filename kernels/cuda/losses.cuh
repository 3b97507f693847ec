// The loss of a logit, and its gradient; formulas at HeadBackward.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/contract/head.h"
#include "kernels/cuda/device.h"

namespace reel::cuda {

struct LossArgs {
  const float* logits;            // [B, C]
  const std::int32_t* labels;     // [B], or null:
  const float* targets;           // [B, C]
  const float* weights;           // [B] or null
  const float* positive_weights;  // [C] or null
  Loss loss;
  int batch, outputs;
  int terms;  // logits that the loss of a row is the mean of
};

inline LossArgs loss_args(const HeadBackward<float>& op) {
  return {.logits = op.logits.data(),
          .labels = address_of(op.labels),
          .targets = address_of(op.targets),
          .weights = address_of(op.weights),
          .positive_weights = address_of(op.positive_weights),
          .loss = op.loss,
          .batch = static_cast<int>(op.shape.batch),
          .outputs = static_cast<int>(op.outputs()),
          .terms = op.loss == Loss::kSoftmax ? 1 : static_cast<int>(op.outputs())};
}

__device__ inline std::size_t logit_index(const LossArgs& args, int b, int c) {
  return static_cast<std::size_t>(b) * args.outputs + c;
}

__device__ inline float target_of(const LossArgs& args, int b, int c) {
  if (args.labels == nullptr) return args.targets[logit_index(args, b, c)];
  return static_cast<float>(args.loss == Loss::kSoftmax ? args.labels[b] == c : args.labels[b]);
}

__device__ inline float weight_of(const LossArgs& args, int b) {
  return args.weights == nullptr ? 1.0f : args.weights[b];
}

__device__ inline float positive_weight_of(const LossArgs& args, int c) {
  return args.positive_weights == nullptr ? 1.0f : args.positive_weights[c];
}

/// Of logit x of a row, target y; not of kSoftmax.
__device__ inline double logit_loss(const LossArgs& args, int c, double x, double y) {
  if (args.loss == Loss::kSquared) return (x - y) * (x - y);
  const double w = positive_weight_of(args, c), k = 1 + (w - 1) * y;
  return k * (x > 0 ? x : x != x ? x : 0.0) - w * y * x + k * log1p(exp(-fabs(x)));
}

__device__ inline float logit_gradient(const LossArgs& args, int c, float x, float y) {
  if (args.loss == Loss::kSquared) return 2 * (x - y);
  const float w = positive_weight_of(args, c), k = 1 + (w - 1) * y;
  return k * (1.0f / (1.0f + expf(-x))) - w * y;
}

/// Whether kSigmoid is right about it.
__device__ inline bool logit_is_right(const LossArgs& args, double x, float y) {
  return args.loss == Loss::kSigmoid && (x > 0) == (y > 0.5f);
}

/// What the mean over the batch makes of a row's gradient.
__device__ inline float mean_gradient(const LossArgs& args, int b, float gradient) {
  return gradient * weight_of(args, b) / (static_cast<float>(args.batch) * static_cast<float>(args.terms));
}

}  // namespace reel::cuda
