// The numbers of one optimizer step, from its settings: both backends apply the same rules with them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

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

/// Where a gradient is 0, most elements need neither root nor division for the same bits: Adam's where what it would
/// subtract, step_rate |s1| / (root_scale sqrt(s2) + outside), is too little to round w to another number; RMSprop's
/// and Adagrad's where 0 / root is 0. These bounds hold for all of the last steps, whichever of them an element lacks:
/// |s1| only shrinks, and |w| and s2 keep at least a known share of themselves.
template <class Real>
struct IdleBounds {
  bool possible = false;   // of some elements: none has a gradient from weight decay, and rates are of the usual kind
  Real step_rate = 0;      // the largest
  Real rounding = 0;       // what |w| times this is more than does change w, with a margin of 2
  Real root_scale = 0;     // the least, of what is left of sqrt(s2)
  Real least_squares = 0;  // what is left of a smaller s2, or of its last bit squared, may be denormal
  Real outside = 0;
};

/// Where Adam's gradient is 0, root and denominator follow from those of the step before, nearly: sqrt(s2) falls by the
/// same factor each step. Both bounds below are for all of the last steps, as above.
template <class Real>
struct DecayBounds {
  bool possible = false;
  Real root_factor = 1, inverse_factor = 1;  // of sqrt(s2) in a step, and of 1 / sqrt(s2)
  Real least_s1 = 0;  // what is left of step_rate |s1| of a smaller one may be denormal, as above
};

/// The rates of the last steps, up to one, for rows that lack some of them: of step s at s % kMaxLag.
template <class Real>
struct RecentRates {
  OptimizerRates<Real> of_step[LazyRows::kMaxLag];
  IdleBounds<Real> idle;
  DecayBounds<Real> decay;
};

template <class Real>
RecentRates<Real> recent_rates(const OptimizerSettings& settings, const LazyRows& lazy, std::int64_t step) {
  using Limits = std::numeric_limits<Real>;
  constexpr double kMargin = 0.99;  // what rounding takes from any of the bounds is far less
  const double kLeast = std::ldexp(static_cast<double>(Limits::min()), 2 * Limits::digits + 2);
  RecentRates<Real> recent;
  IdleBounds<Real>& idle = recent.idle;
  idle.possible = true;
  double weight = kMargin, squares = 1, root_scale = std::numeric_limits<double>::infinity();
  double moments = kMargin, step_rate = root_scale, change = 0, root_scale_before = 0;
  for (std::int64_t s = std::max<std::int64_t>(step - LazyRows::kMaxLag, 0) + 1; s <= step; ++s) {
    const auto i = static_cast<std::size_t>(s % LazyRows::kMaxLag);
    const OptimizerRates<Real> r = recent.of_step[i] = optimizer_rates<Real>(settings, lazy.learning_rates[i], s);
    idle.possible = idle.possible && r.decay == 0 && r.shrink < 1 && r.momentum <= 1 && std::isfinite(r.move_rate) &&
                    std::isfinite(r.step_rate) && std::isfinite(r.root_scale) &&
                    std::max(r.inside, r.outside) >= Limits::min();
    idle.step_rate = std::max(idle.step_rate, r.step_rate);
    idle.outside = r.outside;
    weight *= 1 - static_cast<double>(r.shrink);
    squares *= kMargin * (1 - static_cast<double>(r.rest2));
    root_scale = std::min(root_scale, static_cast<double>(r.root_scale));
    moments *= 1 - static_cast<double>(r.rest1);
    step_rate = std::min(step_rate, static_cast<double>(r.step_rate));
    const double factor = std::sqrt(1 - static_cast<double>(r.rest2));
    recent.decay.root_factor = static_cast<Real>(factor);
    recent.decay.inverse_factor = static_cast<Real>(1 / factor);
    if (root_scale_before > 0) {
      change = std::max(change, std::abs(1 - factor * static_cast<double>(r.root_scale) / root_scale_before));
    }
    change = std::max(change, 1 - factor);
    root_scale_before = static_cast<double>(r.root_scale);
  }
  idle.rounding = static_cast<Real>(std::ldexp(weight, -Limits::digits - 2));
  idle.root_scale = static_cast<Real>(kMargin * root_scale * std::sqrt(squares));
  idle.least_squares = static_cast<Real>(std::min<double>(kLeast / squares, Limits::max()));
  recent.decay.least_s1 = static_cast<Real>(std::min<double>(kLeast / (step_rate * moments), Limits::max()));
  recent.decay.possible = idle.possible && change <= 1e-3 && root_scale <= 1e6 && idle.outside <= 1;
  return recent;
}

}  // namespace reel
