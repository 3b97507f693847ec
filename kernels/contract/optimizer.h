// Clipping and optimizer steps: over flat buffers, whatever the model.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/batch.h"
#include "kernels/contract/checks.h"
#include "kernels/contract/head.h"

namespace reel {

enum class OptimizerKind { kAdam, kAdamW, kSgd, kRmsprop, kAdagrad };
enum class Convention { kKeras, kTorch };

/// Gradients of all parameters: of the rows of the embedding table that the batch touched, and of everything else.
template <class Real>
struct ParameterGradient {
  TokenIndex index;
  std::int64_t embedding = 0;  // E
  std::span<Real> rows;        // [room for U, E]; rows that are not in the index have gradient 0
  std::span<Real> dense;       // [D] every other parameter

  std::int64_t table() const { return index.vocabulary() * embedding; }  // elements of the embedding table
};

/// Clips each element to [-clip_value, clip_value] in place, then writes the global norm to stats.grad_norm and
/// min(1, clip_norm / (norm + 1e-6)) to `scale`, by which the optimizer multiplies. A limit of 0 means no limit.
template <class Real>
struct ClipGradient {
  static constexpr const char* kName = "clip";
  ParameterGradient<Real> gradient;
  double clip_value = 0;
  double clip_norm = 0;
  std::span<Real> scale;        // out [1]
  std::span<BatchStats> stats;  // in/out [1]
};

/// The meaning of each number in each convention is the table in host/model/optimizer.h.
struct OptimizerSettings {
  OptimizerKind kind = OptimizerKind::kAdam;
  Convention convention = Convention::kKeras;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-7;
  double rho = 0.9;  // RMSprop's decay
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;

  /// Whether the rule keeps a second number for each parameter.
  bool has_state2() const {
    return kind == OptimizerKind::kAdam || kind == OptimizerKind::kAdamW ||
           (kind == OptimizerKind::kRmsprop && momentum != 0);
  }
};

/// One optimizer step over all parameters: [V*E] of the embedding table, then [D] dense ones. A table row without a
/// gradient takes part with gradient 0, as in Keras and PyTorch with dense gradients.
template <class Real>
struct OptimizerStep {
  static constexpr const char* kName = "optimizer";
  OptimizerSettings settings;
  std::int64_t step = 1;  // counts from 1
  double learning_rate = 0;
  ParameterGradient<Real> gradient;
  std::span<const Real> scale;  // [1] from ClipGradient
  std::span<Real> parameters;   // in/out [V*E + D]
  std::span<Real> state1;       // in/out [V*E + D]: first moment, momentum or accumulator
  std::span<Real> state2;       // in/out [V*E + D]: Adam's second moment, RMSprop's momentum; else empty
};

template <class Real>
void check_arguments(const ParameterGradient<Real>& gradient) {
  check_size(gradient.index.count, 1, "index.count");
  check_positive(gradient.index.vocabulary(), "index.slot");
  check_positive(gradient.embedding, "gradient.embedding");
  check_not_negative(static_cast<double>(gradient.index.vocabulary() - gradient.index.capacity()),
                     "words beyond index.tokens");
  check_size(gradient.rows, gradient.index.capacity() * gradient.embedding, "gradient.rows");
}

template <class Real>
void check_arguments(const ClipGradient<Real>& op) {
  check_arguments(op.gradient);
  check_size(op.scale, 1, "scale");
  check_size(op.stats, 1, "stats");
  check_not_negative(op.clip_value, "clip_value");
  check_not_negative(op.clip_norm, "clip_norm");
}

template <class Real>
void check_arguments(const OptimizerStep<Real>& op) {
  const auto parameters = static_cast<std::int64_t>(op.parameters.size());
  check_positive(op.step, "step");
  check_not_negative(op.learning_rate, "learning_rate");
  check_share(op.settings.beta1, "settings.beta1");
  check_share(op.settings.beta2, "settings.beta2");
  check_share(op.settings.rho, "settings.rho");
  check_not_negative(op.settings.epsilon, "settings.epsilon");
  check_not_negative(op.settings.momentum, "settings.momentum");
  check_not_negative(op.settings.weight_decay, "settings.weight_decay");
  check_arguments(op.gradient);
  check_size(op.gradient.dense, parameters - op.gradient.table(), "gradient.dense");
  check_size(op.scale, 1, "scale");
  check_size(op.state1, parameters, "state1");
  check_size(op.state2, op.settings.has_state2() ? parameters : 0, "state2");
}

}  // namespace reel
