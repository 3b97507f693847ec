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
  Optimizer(Backend<Real>& backend, const OptimizerSettings& settings, std::int64_t parameter_count);

  /// Clips the model's gradient, writes its norm to stats[0].grad_norm and updates the parameters.
  void step(Model<Real>& model, double learning_rate, const Clipping& clipping, std::span<BatchStats> stats);

  std::int64_t steps_taken() const { return steps_; }
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
