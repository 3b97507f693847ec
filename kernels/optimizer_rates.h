// The numbers of one optimizer step, from its settings: both backends apply the same rules with them.
#pragma once

#include <cmath>

#include "kernels/contract/optimizer.h"

namespace reel {

/// Every rule first takes weight decay: coupled, g += decay w (PyTorch but for AdamW), or decoupled, w -= shrink w.
/// Formulas: keras/src/optimizers and torch/optim, see the table in host/model/optimizer.h.
template <class Real>
struct OptimizerRates {
  Real decay = 0, shrink = 0;
  Real momentum = 0;
  /// Adam: s1 += rest1 (g - s1); s2 += rest2 (g^2 - s2); RMSprop: s1 += rest2 (g^2 - s1).
  Real rest1 = 0, rest2 = 0;
  /// Adam: w -= step_rate s1 / (root_scale sqrt(s2) + outside). Others: root = sqrt(s1 + inside) + outside.
  Real root_scale = 1, inside = 0, outside = 0;
  /// A move is scaled by move_rate when it enters the momentum, by step_rate when it leaves it.
  Real move_rate = 1, step_rate = 1;
  bool nesterov = false;
};

template <class Real>
OptimizerRates<Real> optimizer_rates(const OptimizerSettings& s, double learning_rate, std::int64_t step) {
  const bool keras = s.convention == Convention::kKeras;
  const bool adam = s.kind == OptimizerKind::kAdam || s.kind == OptimizerKind::kAdamW;
  const bool coupled = !keras && s.kind != OptimizerKind::kAdamW;
  const auto real = [](double value) { return static_cast<Real>(value); };
  OptimizerRates<Real> rates{.decay = real(coupled ? s.weight_decay : 0),
                             .shrink = real(coupled ? 0 : learning_rate * s.weight_decay),
                             .momentum = real(s.momentum),
                             .rest1 = real(1 - s.beta1),
                             .rest2 = real(1 - (adam ? s.beta2 : s.rho)),
                             .inside = real(keras && !adam ? s.epsilon : 0),
                             .outside = real(keras && !adam ? 0 : s.epsilon),
                             .move_rate = real(keras ? learning_rate : 1),
                             .step_rate = real(keras ? 1 : learning_rate),
                             .nesterov = s.nesterov};
  if (adam) {
    const double correction1 = 1 - std::pow(s.beta1, static_cast<double>(step));
    const double correction2 = std::sqrt(1 - std::pow(s.beta2, static_cast<double>(step)));
    rates.step_rate = real(keras ? learning_rate * correction2 / correction1 : learning_rate / correction1);
    rates.root_scale = real(keras ? 1 : 1 / correction2);
  }
  return rates;
}

}  // namespace reel
