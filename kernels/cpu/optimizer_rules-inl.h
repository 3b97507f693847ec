// The rules of kernels/optimizer_rates.h for vectors, compiled once for each instruction set (Highway): a step, and
// where there is a shorter way to the same bits, a step with gradient 0.

#if defined(REEL_KERNELS_CPU_OPTIMIZER_RULES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REEL_KERNELS_CPU_OPTIMIZER_RULES_INL_H_
#undef REEL_KERNELS_CPU_OPTIMIZER_RULES_INL_H_
#else
#define REEL_KERNELS_CPU_OPTIMIZER_RULES_INL_H_
#endif

#include <limits>
#include <type_traits>

#include "kernels/cpu/operands-inl.h"
#include "kernels/optimizer_rates.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

/// An element's parameter w, gradient g and state. Each rule updates w and state in place: apply(). Where idles()
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

template <class Real>
HWY_INLINE Vector<Real> splat(Real value) {
  return hn::Set(Tag<Real>(), value);
}

/// IdleBounds as vectors.
template <class Real>
struct Bounds {
  Vector<Real> step_rate, rounding, root_scale, least_squares, outside, normal, most;

  explicit Bounds(const IdleBounds<Real>& b)
      : step_rate(splat(b.step_rate)),
        rounding(splat(b.rounding)),
        root_scale(splat(b.root_scale)),
        least_squares(splat(b.least_squares)),
        outside(splat(b.outside)),
        normal(splat(std::numeric_limits<Real>::min())),
        most(splat(std::numeric_limits<Real>::max() / 4)) {}

  /// Infinity is not.
  HWY_INLINE Lanes<Real> moderate(Vector<Real> v) const { return hn::Le(hn::Abs(v), most); }
};

/// OptimizerRates as vectors.
template <class Real>
struct Rates {
  Vector<Real> decay, shrink, momentum, rest1, rest2, root_scale, inside, outside, move_rate, step_rate;
  bool nesterov;

  explicit Rates(const OptimizerRates<Real>& r)
      : decay(splat(r.decay)),
        shrink(splat(r.shrink)),
        momentum(splat(r.momentum)),
        rest1(splat(r.rest1)),
        rest2(splat(r.rest2)),
        root_scale(splat(r.root_scale)),
        inside(splat(r.inside)),
        outside(splat(r.outside)),
        move_rate(splat(r.move_rate)),
        step_rate(splat(r.step_rate)),
        nesterov(r.nesterov) {}

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
    const Vector<Real> s1 = hn::Abs(e.s1), large = splat<Real>(1e12f);
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
    const Vector<Real> lag = splat<Real>(LazyRows::kMaxLag);
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

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
