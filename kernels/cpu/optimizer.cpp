// One optimizer step in one pass over the parameters. Formulas: keras/src/optimizers and torch/optim, see the table in
// host/model/optimizer.h. Table rows that the batch did not touch are updated with gradient 0, without reading one.
#include <cmath>
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/optimizer.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "hwy/highway.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

/// An element's parameter w, gradient g and state. Each rule below updates w and state in place.
template <class Real>
struct Element {
  Vector<Real> w, g, s1, s2;
};

template <class Real>
HWY_INLINE Vector<Real> constant(double value) {
  return hn::Set(Tag<Real>(), static_cast<Real>(value));
}

/// Adam and AdamW. Keras: lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps); PyTorch: lr / (1 - b1^t) m /
/// (sqrt(v) / sqrt(1 - b2^t) + eps). Weight decay is decoupled (w -= lr wd w) but for PyTorch's Adam (g += wd w).
template <class Real>
struct AdamRule {
  Vector<Real> beta1_rest, beta2_rest, rate, root_scale, epsilon, shrink, decay;

  AdamRule(const OptimizerSettings& s, double lr, std::int64_t step)
      : beta1_rest(constant<Real>(1 - s.beta1)),
        beta2_rest(constant<Real>(1 - s.beta2)),
        epsilon(constant<Real>(s.epsilon)) {
    const bool keras = s.convention == Convention::kKeras;
    const bool coupled = !keras && s.kind == OptimizerKind::kAdam;
    const double correction1 = 1 - std::pow(s.beta1, static_cast<double>(step));
    const double correction2 = std::sqrt(1 - std::pow(s.beta2, static_cast<double>(step)));
    rate = constant<Real>(keras ? lr * correction2 / correction1 : lr / correction1);
    root_scale = constant<Real>(keras ? 1 : 1 / correction2);
    shrink = constant<Real>(coupled ? 0 : lr * s.weight_decay);
    decay = constant<Real>(coupled ? s.weight_decay : 0);
  }

  HWY_INLINE void operator()(Element<Real>& e) const {
    const Vector<Real> g = hn::MulAdd(decay, e.w, e.g);
    e.w = hn::NegMulAdd(shrink, e.w, e.w);
    e.s1 = hn::MulAdd(beta1_rest, hn::Sub(g, e.s1), e.s1);
    e.s2 = hn::MulAdd(beta2_rest, hn::Sub(hn::Mul(g, g), e.s2), e.s2);
    const Vector<Real> root = hn::MulAdd(hn::Sqrt(e.s2), root_scale, epsilon);
    e.w = hn::Sub(e.w, hn::Div(hn::Mul(rate, e.s1), root));
  }
};

/// Keras: v = mu v - lr g; w += v (Nesterov: w += mu v - lr g). PyTorch: v = mu v + g; w -= lr v (Nesterov:
/// w -= lr (g + mu v)).
template <class Real>
struct SgdRule {
  Vector<Real> momentum, velocity_rate, step_rate, shrink, decay;
  bool nesterov;

  SgdRule(const OptimizerSettings& s, double lr, std::int64_t)
      : momentum(constant<Real>(s.momentum)), nesterov(s.nesterov) {
    const bool keras = s.convention == Convention::kKeras;
    velocity_rate = constant<Real>(keras ? lr : 1);  // both store +v here: Keras' sign is turned around in s1
    step_rate = constant<Real>(keras ? 1 : lr);
    shrink = constant<Real>(keras ? lr * s.weight_decay : 0);
    decay = constant<Real>(keras ? 0 : s.weight_decay);
  }

  HWY_INLINE void operator()(Element<Real>& e) const {
    const Vector<Real> g = hn::Mul(velocity_rate, hn::MulAdd(decay, e.w, e.g));
    e.w = hn::NegMulAdd(shrink, e.w, e.w);
    e.s1 = hn::MulAdd(momentum, e.s1, g);
    const Vector<Real> move = nesterov ? hn::MulAdd(momentum, e.s1, g) : e.s1;
    e.w = hn::NegMulAdd(step_rate, move, e.w);
  }
};

/// v = rho v + (1 - rho) g^2. Keras: lr g / sqrt(v + eps), momentum sums these moves; PyTorch: g / (sqrt(v) + eps),
/// momentum sums those, lr applies last.
template <class Real>
struct RmspropRule {
  Vector<Real> rho_rest, inside, outside, momentum, move_rate, step_rate, shrink, decay;

  RmspropRule(const OptimizerSettings& s, double lr, std::int64_t)
      : rho_rest(constant<Real>(1 - s.rho)), momentum(constant<Real>(s.momentum)) {
    const bool keras = s.convention == Convention::kKeras;
    inside = constant<Real>(keras ? s.epsilon : 0);
    outside = constant<Real>(keras ? 0 : s.epsilon);
    move_rate = constant<Real>(keras ? lr : 1);
    step_rate = constant<Real>(keras ? 1 : lr);
    shrink = constant<Real>(keras ? lr * s.weight_decay : 0);
    decay = constant<Real>(keras ? 0 : s.weight_decay);
  }

  HWY_INLINE void operator()(Element<Real>& e) const {
    const Vector<Real> g = hn::MulAdd(decay, e.w, e.g);
    e.w = hn::NegMulAdd(shrink, e.w, e.w);
    e.s1 = hn::MulAdd(rho_rest, hn::Sub(hn::Mul(g, g), e.s1), e.s1);
    const Vector<Real> root = hn::Add(hn::Sqrt(hn::Add(e.s1, inside)), outside);
    e.s2 = hn::MulAdd(momentum, e.s2, hn::Div(hn::Mul(move_rate, g), root));
    e.w = hn::NegMulAdd(step_rate, e.s2, e.w);
  }
};

/// a += g^2. Keras: lr g / sqrt(a + eps); PyTorch: lr g / (sqrt(a) + eps).
template <class Real>
struct AdagradRule {
  Vector<Real> inside, outside, rate, shrink, decay;

  AdagradRule(const OptimizerSettings& s, double lr, std::int64_t) : rate(constant<Real>(lr)) {
    const bool keras = s.convention == Convention::kKeras;
    inside = constant<Real>(keras ? s.epsilon : 0);
    outside = constant<Real>(keras ? 0 : s.epsilon);
    shrink = constant<Real>(keras ? lr * s.weight_decay : 0);
    decay = constant<Real>(keras ? 0 : s.weight_decay);
  }

  HWY_INLINE void operator()(Element<Real>& e) const {
    const Vector<Real> g = hn::MulAdd(decay, e.w, e.g);
    e.w = hn::NegMulAdd(shrink, e.w, e.w);
    e.s1 = hn::MulAdd(g, g, e.s1);
    const Vector<Real> root = hn::Add(hn::Sqrt(hn::Add(e.s1, inside)), outside);
    e.w = hn::Sub(e.w, hn::Div(hn::Mul(rate, g), root));
  }
};

/// Elements [first, first + count) of the parameters; `gradient` points to the first one's, or is null for zeros.
template <class Real, class Rule>
void update(const OptimizerStep<Real>& args, const Rule& rule, std::size_t first, std::size_t count,
            const Real* gradient) {
  const Tag<Real> d;
  const Vector<Real> scale = hn::Set(d, args.scale[0]);
  Real* const w = args.parameters.data() + first;
  Real* const s1 = args.state1.data() + first;
  Real* const s2 = args.state2.empty() ? nullptr : args.state2.data() + first;
  for (std::size_t i = 0; i < count; i += kLanes<Real>) {
    const std::size_t left = count - i;
    Element<Real> e{load_part(w + i, left), hn::Zero(d), load_part(s1 + i, left), hn::Zero(d)};
    if (gradient != nullptr) e.g = hn::Mul(scale, load_part(gradient + i, left));
    if (s2 != nullptr) e.s2 = load_part(s2 + i, left);
    rule(e);
    store_part(e.w, w + i, left);
    store_part(e.s1, s1 + i, left);
    if (s2 != nullptr) store_part(e.s2, s2 + i, left);
  }
}

template <class Real, class Rule>
void run_rule(CpuContext& context, const OptimizerStep<Real>& args) {
  const Rule rule(args.settings, args.learning_rate, args.step);
  const auto V = static_cast<std::size_t>(args.gradient.shape.vocabulary);
  const auto E = static_cast<std::size_t>(args.gradient.shape.embedding);
  const std::size_t rows = std::max<std::size_t>(1, 8192 / E);  // of the table, a task
  const std::size_t table_tasks = (V + rows - 1) / rows;
  constexpr std::size_t kDense = 8192;
  const std::size_t dense = args.gradient.dense.size();
  context.pool.run(table_tasks + (dense + kDense - 1) / kDense, [&](std::size_t task) HWY_ATTR {
    if (task >= table_tasks) {
      const std::size_t first = (task - table_tasks) * kDense;
      update(args, rule, V * E + first, std::min(kDense, dense - first), args.gradient.dense.data() + first);
      return;
    }
    for (std::size_t v = task * rows; v < std::min(V, (task + 1) * rows); ++v) {
      const std::int32_t slot = args.gradient.index.slot[v];
      update(args, rule, v * E, E,
             slot < 0 ? nullptr : args.gradient.embedding.data() + static_cast<std::size_t>(slot) * E);
    }
  });
}

template <class Real>
void run_step(CpuContext& context, const OptimizerStep<Real>& args) {
  switch (args.settings.kind) {
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      return run_rule<Real, AdamRule<Real>>(context, args);
    case OptimizerKind::kSgd:
      return run_rule<Real, SgdRule<Real>>(context, args);
    case OptimizerKind::kRmsprop:
      return run_rule<Real, RmspropRule<Real>>(context, args);
    case OptimizerKind::kAdagrad:
      return run_rule<Real, AdagradRule<Real>>(context, args);
  }
}

void step_f32(CpuContext& context, const OptimizerStep<float>& args) { run_step(context, args); }
void step_f64(CpuContext& context, const OptimizerStep<double>& args) { run_step(context, args); }

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel {

HWY_EXPORT(step_f32);
HWY_EXPORT(step_f64);

namespace cpu {
void optimizer_step(CpuContext& context, const OptimizerStep<float>& args) {
  HWY_DYNAMIC_DISPATCH(step_f32)(context, args);
}

void optimizer_step(CpuContext& context, const OptimizerStep<double>& args) {
  HWY_DYNAMIC_DISPATCH(step_f64)(context, args);
}

}  // namespace cpu
}  // namespace reel
#endif  // HWY_ONCE
