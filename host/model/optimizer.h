// Optimizer policy: defaults in each convention, state, clipping. The arithmetic is the operation OptimizerStep.
#pragma once

#include <cstdint>
#include <span>

#include "host/model/model.h"
#include "kernels/backend.h"

namespace reel {

/// The defaults of keras.optimizers and torch.optim (the table with all formulas stands above the definition).
OptimizerSettings default_settings(OptimizerKind kind, Convention convention);
double default_learning_rate(OptimizerKind kind, Convention convention);

struct Clipping {
  double norm = 0;   // global norm; 0: off
  double value = 0;  // each element, before the norm; 0: off
};

template <class Real>
class Optimizer {
 public:
  Optimizer(Backend<Real>& backend, const OptimizerSettings& settings, std::int64_t parameter_count)
      : backend_(backend),
        settings_(settings),
        state1_(backend.template allocate<Real>(parameter_count)),
        scale_(backend.template allocate<Real>(1)) {
    if (settings.has_state2()) state2_ = backend.template allocate<Real>(parameter_count);
    if (settings.kind != OptimizerKind::kAdagrad || settings.convention != Convention::kKeras) return;
    const std::vector<Real> start(state1_.size(), static_cast<Real>(0.1));
    backend.upload(std::span<const Real>(start), state1_.span());
  }

  /// Clips the model's gradient, writes its norm to stats[0].grad_norm and updates the parameters.
  void step(Model<Real>& model, double learning_rate, const Clipping& clipping, std::span<BatchStats> stats) {
    ++steps_;
    const ParameterGradient<Real> gradient = model.gradient();
    backend_.run(ClipGradient<Real>{.gradient = gradient,
                                    .clip_value = clipping.value,
                                    .clip_norm = clipping.norm,
                                    .scale = scale_.span(),
                                    .stats = stats});
    backend_.run(OptimizerStep<Real>{.settings = settings_,
                                     .step = steps_,
                                     .learning_rate = learning_rate,
                                     .gradient = gradient,
                                     .scale = scale_.span(),
                                     .parameters = model.parameters(),
                                     .state1 = state1_.span(),
                                     .state2 = state2_.span()});
  }

  /// For checkpoints: state buffers (state2 may be empty) and the step count.
  std::span<Real> state1() { return state1_.span(); }
  std::span<Real> state2() { return state2_.span(); }
  void set_steps_taken(std::int64_t steps) { steps_ = steps; }

 private:
  Backend<Real>& backend_;
  OptimizerSettings settings_;
  std::int64_t steps_ = 0;
  Buffer<Real> state1_, state2_, scale_;
};

}  // namespace reel
