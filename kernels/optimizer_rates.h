// The numbers of optimizer steps (kernels/contract/rates.h) from settings and learning rates.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/contract/optimizer.h"

namespace reel {

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

/// Of the last steps, up to `step`; rates_of(s) gives the rates of each.
template <class Real, class RatesOf>
void find_bounds(std::int64_t step, const RatesOf& rates_of, IdleBounds<Real>& idle, DecayBounds<Real>& decay) {
  using Limits = std::numeric_limits<Real>;
  constexpr double kMargin = 0.99;  // what rounding takes from any of the bounds is far less
  const double kLeast = std::ldexp(static_cast<double>(Limits::min()), 2 * Limits::digits + 2);
  idle = {.possible = true};
  double weight = kMargin, squares = 1, root_scale = std::numeric_limits<double>::infinity();
  double moments = kMargin, step_rate = root_scale, change = 0, root_scale_before = 0;
  for (std::int64_t s = std::max<std::int64_t>(step - LazyRows::kMaxLag, 0) + 1; s <= step; ++s) {
    const OptimizerRates<Real>& r = rates_of(s);
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
    decay.root_factor = static_cast<Real>(factor);
    decay.inverse_factor = static_cast<Real>(1 / factor);
    if (root_scale_before > 0) {
      change = std::max(change, std::abs(1 - factor * static_cast<double>(r.root_scale) / root_scale_before));
    }
    change = std::max(change, 1 - factor);
    root_scale_before = static_cast<double>(r.root_scale);
  }
  idle.rounding = static_cast<Real>(std::ldexp(weight, -Limits::digits - 2));
  idle.root_scale = static_cast<Real>(kMargin * root_scale * std::sqrt(squares));
  idle.least_squares = static_cast<Real>(std::min<double>(kLeast / squares, Limits::max()));
  decay.least_s1 = static_cast<Real>(std::min<double>(kLeast / (step_rate * moments), Limits::max()));
  decay.possible = idle.possible && change <= 1e-3 && root_scale <= 1e6 && idle.outside <= 1;
}

/// The rates of the last steps, up to one, for rows that lack some of them: of step s at s % kMaxLag.
template <class Real>
struct RecentRates {
  OptimizerRates<Real> of_step[LazyRows::kMaxLag];
  IdleBounds<Real> idle;
  DecayBounds<Real> decay;
};

template <class Real>
RecentRates<Real> recent_rates(const OptimizerSettings& settings, const LazyRows& lazy, std::int64_t step) {
  RecentRates<Real> recent;
  const auto rates_of = [&](std::int64_t s) -> OptimizerRates<Real>& {
    return recent.of_step[static_cast<std::size_t>(s % LazyRows::kMaxLag)];
  };
  for (std::int64_t s = std::max<std::int64_t>(step - LazyRows::kMaxLag, 0) + 1; s <= step; ++s) {
    rates_of(s) =
        optimizer_rates<Real>(settings, lazy.learning_rates[static_cast<std::size_t>(s % LazyRows::kMaxLag)], s);
  }
  find_bounds(step, rates_of, recent.idle, recent.decay);
  return recent;
}

/// The number of the step of an OptimizerStep or of CatchUp that lies on this host.
template <class Real>
std::int64_t step_of(const OptimizerStep<Real>& op) {
  return op.clock == nullptr ? op.step : op.clock->step + 1;
}
template <class Real>
std::int64_t step_of(const CatchUp<Real>& op) {
  return op.clock == nullptr ? op.step : op.clock->step;
}
/// Its rates, and those of the steps before.
template <class Real>
OptimizerRates<Real> optimizer_rates(const OptimizerStep<Real>& op) {
  if (op.clock == nullptr) return optimizer_rates<Real>(op.settings, op.learning_rate, op.step);
  return op.rates[static_cast<std::size_t>(step_of(op)) % op.rates.size()].rates;
}
template <template <class> class Op, class Real>
RecentRates<Real> recent_rates(const Op<Real>& op) {
  const std::int64_t step = step_of(op);
  if (op.clock == nullptr) return recent_rates<Real>(op.settings, op.lazy, step);
  const auto at = [&](std::int64_t s) -> const StepRates<Real>& {
    return op.rates[static_cast<std::size_t>(s) % op.rates.size()];
  };
  RecentRates<Real> recent{.of_step = {}, .idle = at(step).idle, .decay = at(step).decay};
  for (std::int64_t s = std::max<std::int64_t>(step - LazyRows::kMaxLag, 0) + 1; s <= step; ++s) {
    recent.of_step[static_cast<std::size_t>(s % LazyRows::kMaxLag)] = at(s).rates;
  }
  return recent;
}

/// Fills OptimizerStep::rates for steps from `first` on, as far as it has room beside those of the steps that rows may
/// lack before; learning_rate(s) is that of step s, which counts from 1.
template <class Real, class LearningRate>
void fill_rates(const OptimizerSettings& settings, const LearningRate& learning_rate, std::int64_t first,
                std::span<StepRates<Real>> ring) {
  const auto size = static_cast<std::int64_t>(ring.size());
  const auto at = [&](std::int64_t s) -> StepRates<Real>& { return ring[static_cast<std::size_t>(s % size)]; };
  const auto rates_of = [&](std::int64_t s) -> const OptimizerRates<Real>& { return at(s).rates; };
  const std::int64_t end = first + size - LazyRows::kMaxLag;
  for (std::int64_t s = std::max<std::int64_t>(first - LazyRows::kMaxLag, 1); s < end; ++s) {
    at(s).rates = optimizer_rates<Real>(settings, learning_rate(s), s);
    if (s >= first - 1) find_bounds(s, rates_of, at(s).idle, at(s).decay);
  }
}

}  // namespace reel
