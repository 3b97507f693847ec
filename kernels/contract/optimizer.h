// Clipping and optimizer steps: over flat buffers, whatever the model.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels/contract/batch.h"
#include "kernels/contract/checks.h"
#include "kernels/contract/clock.h"
#include "kernels/contract/head.h"
#include "kernels/contract/rates.h"

namespace reel {

enum class OptimizerKind { kAdam, kAdamW, kSgd, kRmsprop, kAdagrad };
constexpr std::array<const char*, 5> kOptimizerNames = {"adam", "adamw", "sgd", "rmsprop", "adagrad"};  // by kind
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
/// min(1, clip_norm / (norm + 1e-6)) to `scale`, by which the optimizer multiplies. A limit of 0 means no limit. Where
/// nobody asks for the scale, an optimizer step need not wait for the norm.
template <class Real>
struct ClipGradient {
  static constexpr const char* kName = "clip";
  ParameterGradient<Real> gradient;
  double clip_value = 0;
  double clip_norm = 0;
  std::span<Real> scale;             // out [1], or empty where clip_norm is 0
  std::span<BatchStats> stats;       // in/out [1]; with a clock, that at clock->slot of so many
  const StepClock* clock = nullptr;  // in backend memory, or null
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

struct RowRange {
  std::int64_t begin = 0, end = 0;
};

/// Rows of the embedding table that may lag behind: they take the steps they lack one after the other, with gradient 0,
/// before they are next read. The bits are those of rows that take part in every step.
struct LazyRows {
  static constexpr std::int64_t kMaxLag = 32;

  std::span<std::int32_t> taken{};               // in/out [V] the last step of each row, at least step - kMaxLag
  std::array<double, kMaxLag> learning_rates{};  // of the last steps, that of step s at s % kMaxLag

  /// The rows that take the steps they lack with step s, whatever its batch: in kMaxLag steps each of them once.
  RowRange share(std::int64_t step) const { return share(static_cast<std::int64_t>(taken.size()), step); }
  REEL_HOST_DEVICE static constexpr RowRange share(std::int64_t V, std::int64_t step) {
    const std::int64_t part = step % kMaxLag;
    return {V * part / kMaxLag, V * (part + 1) / kMaxLag};
  }
};

/// One optimizer step over all parameters: [V*E] of the embedding table, then [D] dense ones. A table row without a
/// gradient takes part with gradient 0, as in Keras and PyTorch with dense gradients; of lazy rows only those of the
/// index and of the step's share do.
template <class Real>
struct OptimizerStep {
  static constexpr const char* kName = "optimizer";
  OptimizerSettings settings;
  std::int64_t step = 1;  // counts from 1
  double learning_rate = 0;
  ParameterGradient<Real> gradient;
  std::span<const Real> scale;  // [1] of the gradient, from ClipGradient
  std::span<Real> parameters;   // in/out [V*E + D]
  std::span<Real> state1;       // in/out [V*E + D]: first moment, momentum or accumulator
  std::span<Real> state2;       // in/out [V*E + D]: Adam's second moment, RMSprop's momentum; else empty
  LazyRows lazy{};              // without `taken` no row lags; step's learning rate stands there too
  /// In backend memory, or null. With a clock it is step clock->step + 1, and these are the rates of step s at s % R,
  /// those of steps that rows lack among them.
  const StepClock* clock = nullptr;
  std::span<const StepRates<Real>> rates{};  // [R]
};

/// Lazy rows take the steps they lack, up to `step`: those of an index, or all.
template <class Real>
struct CatchUp {
  static constexpr const char* kName = "catch_up";
  OptimizerSettings settings;
  std::int64_t step = 0;
  std::int64_t embedding = 0;  // E
  TokenIndex index{};          // its `count` and `tokens` are read; without them all rows
  std::span<Real> parameters;  // these three as of OptimizerStep
  std::span<Real> state1;
  std::span<Real> state2;
  LazyRows lazy;
  const StepClock* clock = nullptr;  // these two as of OptimizerStep, but up to step clock->step
  std::span<const StepRates<Real>> rates{};
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
  if (op.clip_norm > 0) check_size(op.scale, 1, "scale");
  check_optional(op.scale, 1, "scale");
  check_stats(op.stats, op.clock);
  check_not_negative(op.clip_value, "clip_value");
  check_not_negative(op.clip_norm, "clip_norm");
}

inline void check_arguments(const OptimizerSettings& settings) {
  check_share(settings.beta1, "settings.beta1");
  check_share(settings.beta2, "settings.beta2");
  check_share(settings.rho, "settings.rho");
  check_not_negative(settings.epsilon, "settings.epsilon");
  check_not_negative(settings.momentum, "settings.momentum");
  check_not_negative(settings.weight_decay, "settings.weight_decay");
}

template <class Real>
void check_rates(std::span<const StepRates<Real>> rates, const StepClock* clock) {
  if (clock == nullptr) return check_size(rates, 0, "rates");
  check_not_negative(static_cast<double>(rates.size()) - LazyRows::kMaxLag - 1, "rates beyond a lag");
}

template <class Real>
void check_arguments(const OptimizerStep<Real>& op) {
  const auto parameters = static_cast<std::int64_t>(op.parameters.size());
  if (op.clock == nullptr) check_positive(op.step, "step");
  check_not_negative(op.learning_rate, "learning_rate");
  check_arguments(op.settings);
  check_arguments(op.gradient);
  check_size(op.gradient.dense, parameters - op.gradient.table(), "gradient.dense");
  check_size(op.scale, 1, "scale");
  check_size(op.state1, parameters, "state1");
  check_size(op.state2, op.settings.has_state2() ? parameters : 0, "state2");
  check_optional(op.lazy.taken, op.gradient.index.vocabulary(), "lazy.taken");
  if (!op.lazy.taken.empty()) check_int32(op.step, "step");
  check_rates(op.rates, op.clock);
}

template <class Real>
void check_arguments(const CatchUp<Real>& op) {
  const auto parameters = static_cast<std::int64_t>(op.parameters.size());
  const auto rows = static_cast<std::int64_t>(op.lazy.taken.size());
  check_not_negative(static_cast<double>(op.step), "step");
  check_int32(op.step, "step");
  check_arguments(op.settings);
  check_positive(op.embedding, "embedding");
  check_positive(rows, "lazy.taken");
  check_not_negative(static_cast<double>(parameters - rows * op.embedding), "parameters beyond lazy.taken");
  check_size(op.state1, parameters, "state1");
  check_size(op.state2, op.settings.has_state2() ? parameters : 0, "state2");
  check_size(op.index.count, op.index.tokens.empty() ? 0 : 1, "index.count");
  check_rates(op.rates, op.clock);
}

}  // namespace reel
