// One optimizer step in one pass over the parameters. The rules and their rates: kernels/optimizer_rates.h. Table rows
// that the batch did not touch are updated with gradient 0, without reading one.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/optimizer.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "hwy/highway.h"
#include "kernels/cpu/operands-inl.h"
#include "kernels/cpu/operations.h"
#include "kernels/optimizer_rates.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

/// An element's parameter w, gradient g and state. Each rule below updates w and state in place.
template <class Real>
struct Element {
  Vector<Real> w, g, s1, s2;
};

/// OptimizerRates as vectors.
template <class Real>
struct Rates {
  Vector<Real> decay, shrink, momentum, rest1, rest2, root_scale, inside, outside, move_rate, step_rate;
  bool nesterov;

  explicit Rates(const OptimizerRates<Real>& r)
      : decay(vector(r.decay)),
        shrink(vector(r.shrink)),
        momentum(vector(r.momentum)),
        rest1(vector(r.rest1)),
        rest2(vector(r.rest2)),
        root_scale(vector(r.root_scale)),
        inside(vector(r.inside)),
        outside(vector(r.outside)),
        move_rate(vector(r.move_rate)),
        step_rate(vector(r.step_rate)),
        nesterov(r.nesterov) {}

  static HWY_INLINE Vector<Real> vector(Real value) { return hn::Set(Tag<Real>(), value); }
  /// Applies weight decay; the gradient that is left.
  HWY_INLINE Vector<Real> decayed(Element<Real>& e) const {
    const Vector<Real> g = hn::MulAdd(decay, e.w, e.g);
    e.w = hn::NegMulAdd(shrink, e.w, e.w);
    return g;
  }
  HWY_INLINE Vector<Real> root(Vector<Real> squares) const {
    return hn::Add(hn::Sqrt(hn::Add(squares, inside)), outside);
  }
};

struct AdamRule {
  template <class Real>
  static HWY_INLINE void apply(const Rates<Real>& r, Element<Real>& e) {
    const Vector<Real> g = r.decayed(e);
    e.s1 = hn::MulAdd(r.rest1, hn::Sub(g, e.s1), e.s1);
    e.s2 = hn::MulAdd(r.rest2, hn::Sub(hn::Mul(g, g), e.s2), e.s2);
    e.w = hn::Sub(e.w, hn::Div(hn::Mul(r.step_rate, e.s1), hn::MulAdd(hn::Sqrt(e.s2), r.root_scale, r.outside)));
  }
};

/// s1 holds +v: Keras' sign is turned around.
struct SgdRule {
  template <class Real>
  static HWY_INLINE void apply(const Rates<Real>& r, Element<Real>& e) {
    const Vector<Real> move = hn::Mul(r.move_rate, r.decayed(e));
    e.s1 = hn::MulAdd(r.momentum, e.s1, move);
    e.w = hn::NegMulAdd(r.step_rate, r.nesterov ? hn::MulAdd(r.momentum, e.s1, move) : e.s1, e.w);
  }
};

struct RmspropRule {
  template <class Real>
  static HWY_INLINE void apply(const Rates<Real>& r, Element<Real>& e) {
    const Vector<Real> g = r.decayed(e);
    e.s1 = hn::MulAdd(r.rest2, hn::Sub(hn::Mul(g, g), e.s1), e.s1);
    e.s2 = hn::MulAdd(r.momentum, e.s2, hn::Div(hn::Mul(r.move_rate, g), r.root(e.s1)));
    e.w = hn::NegMulAdd(r.step_rate, e.s2, e.w);
  }
};

struct AdagradRule {
  template <class Real>
  static HWY_INLINE void apply(const Rates<Real>& r, Element<Real>& e) {
    const Vector<Real> g = r.decayed(e);
    e.s1 = hn::MulAdd(g, g, e.s1);
    e.w = hn::NegMulAdd(r.step_rate, hn::Div(hn::Mul(r.move_rate, g), r.root(e.s1)), e.w);
  }
};

/// Elements [first, first + count) of the parameters; `gradient` points to the first one's, or is null for zeros.
template <class Rule, class Real>
void update(const OptimizerStep<Real>& op, const Rates<Real>& rates, std::size_t first, std::size_t count,
            const Real* gradient) {
  const Tag<Real> d;
  const Vector<Real> scale = hn::Set(d, op.scale[0]);
  Real* const w = op.parameters.data() + first;
  Real* const s1 = op.state1.data() + first;
  Real* const s2 = op.state2.empty() ? nullptr : op.state2.data() + first;
  for (std::size_t i = 0; i < count; i += kLanes<Real>) {
    const std::size_t left = count - i;
    Element<Real> e{load_part(w + i, left), hn::Zero(d), load_part(s1 + i, left), hn::Zero(d)};
    if (gradient != nullptr) e.g = hn::Mul(scale, load_part(gradient + i, left));
    if (s2 != nullptr) e.s2 = load_part(s2 + i, left);
    Rule::apply(rates, e);
    store_part(e.w, w + i, left);
    store_part(e.s1, s1 + i, left);
    if (s2 != nullptr) store_part(e.s2, s2 + i, left);
  }
}

template <class Rule, class Real>
void run_rule(CpuContext& context, const OptimizerStep<Real>& op) {
  const Rates<Real> rates(optimizer_rates<Real>(op.settings, op.learning_rate, op.step));
  const std::size_t V = op.gradient.index.slot.size();
  const auto E = static_cast<std::size_t>(op.gradient.embedding);
  const std::size_t rows = std::max<std::size_t>(1, 8192 / E);  // of the table, a task
  const std::size_t table_tasks = (V + rows - 1) / rows;
  constexpr std::size_t kDense = 8192;
  const std::size_t dense = op.gradient.dense.size();
  context.pool.run(table_tasks + (dense + kDense - 1) / kDense, [&](std::size_t task) HWY_ATTR {
    if (task >= table_tasks) {
      const std::size_t first = (task - table_tasks) * kDense;
      update<Rule>(op, rates, V * E + first, std::min(kDense, dense - first), op.gradient.dense.data() + first);
      return;
    }
    for (std::size_t v = task * rows; v < std::min(V, (task + 1) * rows); ++v) {
      const std::int32_t slot = op.gradient.index.slot[v];
      update<Rule>(op, rates, v * E, E,
                   slot < 0 ? nullptr : op.gradient.rows.data() + static_cast<std::size_t>(slot) * E);
    }
  });
}

template <class Real>
void run_step(CpuContext& context, const OptimizerStep<Real>& op) {
  switch (op.settings.kind) {
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      return run_rule<AdamRule>(context, op);
    case OptimizerKind::kSgd:
      return run_rule<SgdRule>(context, op);
    case OptimizerKind::kRmsprop:
      return run_rule<RmspropRule>(context, op);
    case OptimizerKind::kAdagrad:
      return run_rule<AdagradRule>(context, op);
  }
}

void step_f32(CpuContext& context, const OptimizerStep<float>& op) { run_step(context, op); }
void step_f64(CpuContext& context, const OptimizerStep<double>& op) { run_step(context, op); }

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel {

HWY_EXPORT(step_f32);
HWY_EXPORT(step_f64);

namespace cpu {
void execute(CpuContext& context, const OptimizerStep<float>& op) { HWY_DYNAMIC_DISPATCH(step_f32)(context, op); }

void execute(CpuContext& context, const OptimizerStep<double>& op) { HWY_DYNAMIC_DISPATCH(step_f64)(context, op); }

}  // namespace cpu
}  // namespace reel
#endif  // HWY_ONCE
