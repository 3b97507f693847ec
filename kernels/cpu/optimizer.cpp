// One optimizer step in one pass over the parameters. The rules and their rates: kernels/optimizer_rates.h. Table rows
// that the batch did not touch are updated with gradient 0, without reading one. Of lazy rows a few vectors at a time
// take all steps that they lack, in registers.
#include <algorithm>
#include <functional>
#include <limits>
#include <type_traits>

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

/// An element's parameter w, gradient g and state. Each rule below updates w and state in place: apply(). Where idles()
/// holds, idle() is the same with gradient 0.
template <class Real>
struct Element {
  Vector<Real> w, g, s1, s2;
};
template <class Real>
using Lanes = hn::Mask<Tag<Real>>;

/// Root and quotient take most of Adam's time. With gradient 0 both are found from those of the step before by
/// multiply-adds, which leave an exact remainder: n / D = q + (n - q D) / D for any q, and where 1 / D lies between two
/// numbers, n / D lies between q plus the remainder times either. Do both round to the same number, it is that of the
/// division. The root likewise: sqrt(s) = g + (s - g^2) / (sqrt(s) + g).
#if HWY_NATIVE_FMA
template <class Real>
constexpr bool kEncloses = std::is_same_v<Real, float>;  // in double one step of Newton's is too little
#else
template <class Real>
constexpr bool kEncloses = false;
#endif
/// What is carried from step to step.
template <class Real>
struct Decay {
  Vector<Real> root;          // sqrt(s2)
  Vector<Real> half_inverse;  // about 1 / (2 root): to 2^-17 after 32 steps
  Vector<Real> inverse;       // about 1 / (root_scale root + outside), to 2^-19
};

/// IdleBounds as vectors.
template <class Real>
struct Bounds {
  Vector<Real> step_rate, rounding, root_scale, least_squares, outside, normal, most;

  explicit Bounds(const IdleBounds<Real>& b)
      : step_rate(vector(b.step_rate)),
        rounding(vector(b.rounding)),
        root_scale(vector(b.root_scale)),
        least_squares(vector(b.least_squares)),
        outside(vector(b.outside)),
        normal(vector(std::numeric_limits<Real>::min())),
        most(vector(std::numeric_limits<Real>::max() / 4)) {}

  static HWY_INLINE Vector<Real> vector(Real value) { return hn::Set(Tag<Real>(), value); }
  /// Infinity is not.
  HWY_INLINE Lanes<Real> moderate(Vector<Real> v) const { return hn::Le(hn::Abs(v), most); }
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
  HWY_INLINE Vector<Real> shrunk(Vector<Real> w) const { return hn::NegMulAdd(shrink, w, w); }
};

/// Of RMSprop and Adagrad: a root that is positive and a w that stays a number.
template <class Real>
HWY_INLINE Lanes<Real> has_root(const Bounds<Real>& b, const Element<Real>& e) {
  return hn::And(hn::Ge(e.s1, hn::Zero(Tag<Real>())), hn::And(b.moderate(e.s1), b.moderate(e.w)));
}

struct AdamRule {
  template <class Real>
  static HWY_INLINE void apply(const Rates<Real>& r, Element<Real>& e) {
    const Vector<Real> g = r.decayed(e);
    e.s1 = hn::MulAdd(r.rest1, hn::Sub(g, e.s1), e.s1);
    e.s2 = hn::MulAdd(r.rest2, hn::Sub(hn::Mul(g, g), e.s2), e.s2);
    e.w = hn::Sub(e.w, hn::Div(hn::Mul(r.step_rate, e.s1), hn::MulAdd(hn::Sqrt(e.s2), r.root_scale, r.outside)));
  }
  template <class Real>
  static HWY_INLINE Lanes<Real> idles(const Bounds<Real>& b, const Element<Real>& e) {
    const Vector<Real> zero = hn::Zero(Tag<Real>());
    const Vector<Real> root = hn::IfThenElseZero(hn::Ge(e.s2, b.least_squares), hn::Sqrt(e.s2));
    const Vector<Real> part = hn::Mul(b.rounding, hn::Abs(e.w));
    const Vector<Real> most = hn::Mul(part, hn::MulAdd(root, b.root_scale, b.outside));
    const Lanes<Real> fits = hn::And(hn::Le(hn::Mul(b.step_rate, hn::Abs(e.s1)), most), b.moderate(most));
    const Lanes<Real> exact = hn::Or(hn::Ge(hn::Min(part, most), b.normal), hn::Eq(e.w, zero));
    return hn::And(hn::And(fits, exact), hn::Ge(e.s2, zero));
  }
  template <class Real>
  static HWY_INLINE void idle(const Rates<Real>& r, Element<Real>& e) {
    e.w = r.shrunk(e.w);
    e.s1 = hn::NegMulAdd(r.rest1, e.s1, e.s1);
    e.s2 = hn::NegMulAdd(r.rest2, e.s2, e.s2);
  }

  /// Whether decay() may be used: nothing in it is denormal, or overflows.
  template <class Real>
  static HWY_INLINE Lanes<Real> decays(const Bounds<Real>& b, Vector<Real> least_s1, const Element<Real>& e) {
    const Vector<Real> s1 = hn::Abs(e.s1), large = b.vector(1e12f);
    const Lanes<Real> s2_fits = hn::And(hn::Ge(e.s2, b.least_squares), hn::Le(e.s2, large));
    const Lanes<Real> s1_fits =
        hn::And(hn::Ge(s1, least_s1), hn::Le(hn::Mul(b.step_rate, s1), hn::Mul(b.outside, large)));
    return hn::And(hn::And(s2_fits, s1_fits), hn::Le(hn::Abs(e.w), large));
  }
  template <class Real>
  static HWY_INLINE Decay<Real> before_decay(const Rates<Real>& r, const Element<Real>& e) {
    const Vector<Real> root = hn::Sqrt(e.s2);
    return {root, hn::Div(hn::Set(Tag<Real>(), Real{0.5}), root),
            hn::Div(hn::Set(Tag<Real>(), Real{1}), hn::MulAdd(root, r.root_scale, r.outside))};
  }
  /// apply() with gradient 0.
  template <class Real>
  static HWY_INLINE void decay(const Rates<Real>& r, const DecayBounds<Real>& bounds, Decay<Real>& from,
                               Element<Real>& e) {
    const Tag<Real> d;
    const Vector<Real> below = hn::Set(d, Real{1} - Real{1} / 65536), above = hn::Set(d, Real{1} + Real{1} / 65536);
    idle(r, e);
    const Vector<Real> g = hn::Mul(hn::Set(d, bounds.root_factor), from.root);
    const Vector<Real> rest = hn::NegMulAdd(g, g, e.s2);
    from.half_inverse = hn::Mul(hn::Set(d, bounds.inverse_factor), from.half_inverse);
    from.root = hn::MulAdd(rest, hn::Mul(from.half_inverse, below), g);
    const Lanes<Real> is_root = hn::Eq(from.root, hn::MulAdd(rest, hn::Mul(from.half_inverse, above), g));

    const Vector<Real> n = hn::Mul(r.step_rate, e.s1), D = hn::MulAdd(from.root, r.root_scale, r.outside);
    from.inverse = hn::MulAdd(hn::NegMulAdd(D, from.inverse, hn::Set(d, Real{1})), from.inverse, from.inverse);
    const Vector<Real> q = hn::Mul(n, from.inverse), remainder = hn::NegMulAdd(D, q, n);
    Vector<Real> quotient = hn::MulAdd(remainder, hn::Mul(from.inverse, below), q);
    const Lanes<Real> is_quotient = hn::Eq(quotient, hn::MulAdd(remainder, hn::Mul(from.inverse, above), q));
    if (HWY_UNLIKELY(!hn::AllTrue(d, hn::And(is_root, is_quotient)))) {
      from.root = hn::Sqrt(e.s2);
      quotient = hn::Div(n, hn::MulAdd(from.root, r.root_scale, r.outside));
    }
    e.w = hn::Sub(e.w, quotient);
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
  /// Nothing is gained: apply() has neither root nor division.
  template <class Real>
  static HWY_INLINE Lanes<Real> idles(const Bounds<Real>&, const Element<Real>&) {
    return hn::FirstN(Tag<Real>(), 0);
  }
  template <class Real>
  static HWY_INLINE void idle(const Rates<Real>&, Element<Real>&) {}
};

struct RmspropRule {
  template <class Real>
  static HWY_INLINE void apply(const Rates<Real>& r, Element<Real>& e) {
    const Vector<Real> g = r.decayed(e);
    e.s1 = hn::MulAdd(r.rest2, hn::Sub(hn::Mul(g, g), e.s1), e.s1);
    e.s2 = hn::MulAdd(r.momentum, e.s2, hn::Div(hn::Mul(r.move_rate, g), r.root(e.s1)));
    e.w = hn::NegMulAdd(r.step_rate, e.s2, e.w);
  }
  template <class Real>
  static HWY_INLINE Lanes<Real> idles(const Bounds<Real>& b, const Element<Real>& e) {
    const Vector<Real> lag = b.vector(static_cast<Real>(LazyRows::kMaxLag));
    return hn::And(has_root(b, e), b.moderate(hn::Mul(lag, hn::Mul(b.step_rate, e.s2))));
  }
  template <class Real>
  static HWY_INLINE void idle(const Rates<Real>& r, Element<Real>& e) {
    e.s1 = hn::NegMulAdd(r.rest2, e.s1, e.s1);
    e.s2 = hn::MulAdd(r.momentum, e.s2, hn::Zero(Tag<Real>()));
    e.w = hn::NegMulAdd(r.step_rate, e.s2, r.shrunk(e.w));
  }
};

struct AdagradRule {
  template <class Real>
  static HWY_INLINE void apply(const Rates<Real>& r, Element<Real>& e) {
    const Vector<Real> g = r.decayed(e);
    e.s1 = hn::MulAdd(g, g, e.s1);
    e.w = hn::NegMulAdd(r.step_rate, hn::Div(hn::Mul(r.move_rate, g), r.root(e.s1)), e.w);
  }
  template <class Real>
  static HWY_INLINE Lanes<Real> idles(const Bounds<Real>& b, const Element<Real>& e) {
    return has_root(b, e);
  }
  template <class Real>
  static HWY_INLINE void idle(const Rates<Real>& r, Element<Real>& e) {
    e.s1 = hn::Add(e.s1, hn::Zero(Tag<Real>()));
    e.w = r.shrunk(e.w);
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

constexpr std::size_t kElements = 8192;  // a task

/// The steps that rows of the table lack, up to one.
template <class Rule, class Real>
class LaggingRows {
 public:
  /// Of an OptimizerStep or of CatchUp.
  LaggingRows(const auto& op, std::size_t embedding)
      : recent_(recent_rates<Real>(op.settings, op.lazy, op.step)),
        step_(op.step),
        E_(embedding),
        taken_(op.lazy.taken.data()),
        w_(op.parameters.data()),
        s1_(op.state1.data()),
        s2_(op.state2.empty() ? nullptr : op.state2.data()) {}

  /// All of them in turn, the last one with `gradient`, unless that is null. Row `ahead` is fetched meanwhile, bit by
  /// bit: fetched at once it would keep what is computed here from its own rows.
  void take(std::size_t row, std::size_t ahead, const Real* gradient, Real scale) const {
    const std::int64_t first = taken_[row] + std::int64_t{1};
    __builtin_prefetch(taken_ + ahead);
    if (first > step_) return;
    const std::size_t begin = row * E_;
    constexpr std::size_t kGroup = 4 * kLanes<Real>;
    std::size_t i = 0;
    for (; i + kGroup <= E_; i += kGroup) {
      prefetch(ahead * E_ + i, kGroup);
      take_part<4>(begin + i, first, gradient == nullptr ? nullptr : gradient + i, scale, Whole());
    }
    for (; i < E_; i += kLanes<Real>) {
      take_part<1>(begin + i, first, gradient == nullptr ? nullptr : gradient + i, scale, E_ - i);
    }
    taken_[row] = static_cast<std::int32_t>(step_);
  }
  std::size_t rows_a_task() const { return std::max<std::size_t>(1, kElements / E_); }
  /// Calls visit(i, row_of(i), row_of(a few more)) for first <= i < last.
  void for_each(std::size_t first, std::size_t last, const auto& row_of, const auto& visit) const {
    constexpr std::size_t kAhead = 2;
    for (std::size_t i = first; i < last; ++i) visit(i, row_of(i), row_of(std::min(i + kAhead, last - 1)));
  }

 private:
  HWY_INLINE void prefetch(std::size_t at, std::size_t count) const {
    prefetch_row(w_ + at, count);
    prefetch_row(s1_ + at, count);
    if (s2_ != nullptr) prefetch_row(s2_ + at, count);
  }

  /// Of kCount vectors from `at` on.
  template <std::size_t kCount, class Part>
  HWY_INLINE void take_part(std::size_t at, std::int64_t first, const Real* gradient, Real scale, Part part) const {
    const Vector<Real> zero = hn::Zero(Tag<Real>());
    Element<Real> e[kCount];
    REEL_UNROLL
    for (std::size_t n = 0; n < kCount; ++n) {
      const std::size_t i = at + n * kLanes<Real>;
      e[n] = {load_part(w_ + i, part), zero, load_part(s1_ + i, part), zero};
      if (s2_ != nullptr) e[n].s2 = load_part(s2_ + i, part);
    }
    const std::int64_t last = gradient == nullptr ? step_ : step_ - 1;
    if (first <= last) take_idle_steps(e, first, last);
    if (gradient != nullptr) {
      const Rates<Real> rates = rates_of(step_);
      REEL_UNROLL
      for (std::size_t n = 0; n < kCount; ++n) {
        e[n].g = hn::Mul(hn::Set(Tag<Real>(), scale), load_part(gradient + n * kLanes<Real>, part));
        if (s2_ == nullptr) e[n].s2 = zero;
        Rule::apply(rates, e[n]);
      }
    }
    REEL_UNROLL
    for (std::size_t n = 0; n < kCount; ++n) {
      const std::size_t i = at + n * kLanes<Real>;
      store_part(e[n].w, w_ + i, part);
      store_part(e[n].s1, s1_ + i, part);
      if (s2_ != nullptr) store_part(e[n].s2, s2_ + i, part);
    }
  }

  /// The steps from `first` to `last` with gradient 0.
  template <std::size_t kCount>
  HWY_INLINE void take_idle_steps(Element<Real> (&e)[kCount], std::int64_t first, std::int64_t last) const {
    const Tag<Real> d;
    const Bounds<Real> bounds(recent_.idle);
    if (recent_.idle.possible && all(e, [&](const Element<Real>& one) HWY_ATTR { return Rule::idles(bounds, one); })) {
      return each_step(e, first, last,
                       [](const Rates<Real>& r, Element<Real>& one, std::size_t) HWY_ATTR { Rule::idle(r, one); });
    }
    if constexpr (std::is_same_v<Rule, AdamRule> && kEncloses<Real>) {
      const Vector<Real> least_s1 = hn::Set(d, recent_.decay.least_s1);
      const bool worth_it = recent_.decay.possible && last - first >= 2;  // begins with a root and two divisions
      if (worth_it && all(e, [&](const Element<Real>& one) HWY_ATTR { return Rule::decays(bounds, least_s1, one); })) {
        Decay<Real> from[kCount];
        REEL_UNROLL
        for (std::size_t n = 0; n < kCount; ++n) from[n] = Rule::before_decay(rates_of(first), e[n]);
        return each_step(e, first, last, [&](const Rates<Real>& r, Element<Real>& one, std::size_t n) HWY_ATTR {
          Rule::decay(r, recent_.decay, from[n], one);
        });
      }
    }
    each_step(e, first, last, [&](const Rates<Real>& r, Element<Real>& one, std::size_t) HWY_ATTR {
      one.g = hn::Zero(d);
      if (s2_ == nullptr) one.s2 = hn::Zero(d);
      Rule::apply(r, one);
    });
  }
  template <std::size_t kCount>
  static HWY_INLINE bool all(const Element<Real> (&e)[kCount], const auto& holds) {
    Lanes<Real> lanes = holds(e[0]);
    REEL_UNROLL
    for (std::size_t n = 1; n < kCount; ++n) lanes = hn::And(lanes, holds(e[n]));
    return hn::AllTrue(Tag<Real>(), lanes);
  }
  template <std::size_t kCount>
  HWY_INLINE void each_step(Element<Real> (&e)[kCount], std::int64_t first, std::int64_t last,
                            const auto& take_step) const {
    for (std::int64_t s = first; s <= last; ++s) {
      const Rates<Real> rates = rates_of(s);
      REEL_UNROLL
      for (std::size_t n = 0; n < kCount; ++n) take_step(rates, e[n], n);
    }
  }
  HWY_INLINE Rates<Real> rates_of(std::int64_t s) const {
    return Rates<Real>(recent_.of_step[static_cast<std::size_t>(s % LazyRows::kMaxLag)]);
  }

  RecentRates<Real> recent_;
  std::int64_t step_;
  std::size_t E_;
  std::int32_t* taken_;
  Real *w_, *s1_, *s2_;
};

/// The rows of the index, those of the step's share that are not among them, and the dense parameters.
template <class Rule, class Real>
void run_lazily(CpuContext& context, const OptimizerStep<Real>& op) {
  const TokenIndex& index = op.gradient.index;
  const auto E = static_cast<std::size_t>(op.gradient.embedding), U = static_cast<std::size_t>(index.count[0]);
  const LaggingRows<Rule, Real> lagging(op, E);
  const RowRange share = op.lazy.share(op.step);
  const auto first = static_cast<std::size_t>(share.begin), last = static_cast<std::size_t>(share.end);
  const std::size_t rows = lagging.rows_a_task(), dense = op.gradient.dense.size();
  const std::size_t of_batch = (U + rows - 1) / rows, of_share = (last - first + rows - 1) / rows;
  context.pool.run(of_batch + of_share + (dense + kElements - 1) / kElements, [&](std::size_t task) HWY_ATTR {
    if (task < of_batch) {
      const auto row = [&](std::size_t u) { return static_cast<std::size_t>(index.tokens[u]); };
      lagging.for_each(task * rows, std::min(U, (task + 1) * rows), row,
                       [&](std::size_t u, std::size_t v, std::size_t ahead)
                           HWY_ATTR { lagging.take(v, ahead, op.gradient.rows.data() + u * E, op.scale[0]); });
      return;
    }
    task -= of_batch;
    if (task < of_share) {
      const std::size_t begin = first + task * rows;
      lagging.for_each(begin, std::min(last, begin + rows), std::identity(),
                       [&](std::size_t v, std::size_t, std::size_t ahead) HWY_ATTR {
                         if (index.slot[v] < 0) lagging.take(v, ahead, nullptr, 0);
                       });
      return;
    }
    const std::size_t i = (task - of_share) * kElements;
    const Rates<Real> rates(optimizer_rates<Real>(op.settings, op.learning_rate, op.step));
    update<Rule>(op, rates, static_cast<std::size_t>(op.gradient.table()) + i, std::min(kElements, dense - i),
                 op.gradient.dense.data() + i);
  });
}

template <class Rule, class Real>
void run_rule(CpuContext& context, const CatchUp<Real>& op) {
  const LaggingRows<Rule, Real> lagging(op, static_cast<std::size_t>(op.embedding));
  const bool all = op.index.tokens.empty();
  const std::size_t count = all ? op.lazy.taken.size() : static_cast<std::size_t>(op.index.count[0]);
  const std::size_t rows = lagging.rows_a_task();
  const auto row = [&](std::size_t u) { return all ? u : static_cast<std::size_t>(op.index.tokens[u]); };
  context.pool.run((count + rows - 1) / rows, [&](std::size_t task) HWY_ATTR {
    lagging.for_each(task * rows, std::min(count, (task + 1) * rows), row,
                     [&](std::size_t, std::size_t v, std::size_t ahead)
                         HWY_ATTR { lagging.take(v, ahead, nullptr, 0); });
  });
}

template <class Rule, class Real>
void run_rule(CpuContext& context, const OptimizerStep<Real>& op) {
  if (!op.lazy.taken.empty()) return run_lazily<Rule>(context, op);
  const Rates<Real> rates(optimizer_rates<Real>(op.settings, op.learning_rate, op.step));
  const std::size_t V = op.gradient.index.slot.size();
  const auto E = static_cast<std::size_t>(op.gradient.embedding);
  const std::size_t rows = std::max<std::size_t>(1, kElements / E);  // of the table, a task
  const std::size_t table_tasks = (V + rows - 1) / rows;
  const std::size_t dense = op.gradient.dense.size();
  context.pool.run(table_tasks + (dense + kElements - 1) / kElements, [&](std::size_t task) HWY_ATTR {
    if (task >= table_tasks) {
      const std::size_t first = (task - table_tasks) * kElements;
      update<Rule>(op, rates, V * E + first, std::min(kElements, dense - first), op.gradient.dense.data() + first);
      return;
    }
    for (std::size_t v = task * rows; v < std::min(V, (task + 1) * rows); ++v) {
      const std::int32_t slot = op.gradient.index.slot[v];
      update<Rule>(op, rates, v * E, E,
                   slot < 0 ? nullptr : op.gradient.rows.data() + static_cast<std::size_t>(slot) * E);
    }
  });
}

template <class Op>
void run_op(CpuContext& context, const Op& op) {
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

void step_f32(CpuContext& context, const OptimizerStep<float>& op) { run_op(context, op); }
void step_f64(CpuContext& context, const OptimizerStep<double>& op) { run_op(context, op); }
void catch_up_f32(CpuContext& context, const CatchUp<float>& op) { run_op(context, op); }
void catch_up_f64(CpuContext& context, const CatchUp<double>& op) { run_op(context, op); }

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel {

HWY_EXPORT(step_f32);
HWY_EXPORT(step_f64);
HWY_EXPORT(catch_up_f32);
HWY_EXPORT(catch_up_f64);

namespace cpu {
void execute(CpuContext& context, const OptimizerStep<float>& op) { HWY_DYNAMIC_DISPATCH(step_f32)(context, op); }
void execute(CpuContext& context, const OptimizerStep<double>& op) { HWY_DYNAMIC_DISPATCH(step_f64)(context, op); }
void execute(CpuContext& context, const CatchUp<float>& op) { HWY_DYNAMIC_DISPATCH(catch_up_f32)(context, op); }
void execute(CpuContext& context, const CatchUp<double>& op) { HWY_DYNAMIC_DISPATCH(catch_up_f64)(context, op); }

}  // namespace cpu
}  // namespace reel
#endif  // HWY_ONCE
