// The arithmetic of the cells (kernels/contract/cells.h) for vectors, compiled once for each instruction set (Highway).

#if defined(REEL_KERNELS_CPU_CELLS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REEL_KERNELS_CPU_CELLS_INL_H_
#undef REEL_KERNELS_CPU_CELLS_INL_H_
#else
#define REEL_KERNELS_CPU_CELLS_INL_H_
#endif

#include "hwy/contrib/math/math-inl.h"
#include "kernels/contract/cells.h"
#include "kernels/cpu/operands-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

/// float64, for gradient checks: Highway's own.
template <class V, hwy::EnableIf<sizeof(hn::TFromV<V>) == 8>* = nullptr>
HWY_INLINE V fast_tanh(V x) {
  return hn::Tanh(hn::DFromV<V>(), x);
}

/// float32: x P(x^2) / Q(x^2), both of degree 4, on [-8, 8] and constant outside, where tanh is within 2.3e-7 of +-1.
/// The coefficients are a least-squares fit of the relative error, reweighted until the error was level (7e-9 before
/// rounding). Within 3e-7 of tanh and never beyond +-1; a third of the time of Highway's, which is exact to 1 ulp.
template <class V, hwy::EnableIf<sizeof(hn::TFromV<V>) == 4>* = nullptr>
HWY_INLINE V fast_tanh(V x) {
  const hn::DFromV<V> d;
  const auto constant = [&](float value) HWY_ATTR { return hn::Set(d, value); };
  x = hn::Max(constant(-8.0f), hn::Min(constant(8.0f), x));  // in this order NaN stays NaN on x86 too
  const V s = hn::Mul(x, x);
  V p = constant(1.52309063e-08f);
  p = hn::MulAdd(p, s, constant(2.18950718e-05f));
  p = hn::MulAdd(p, s, constant(0.00357162533f));
  p = hn::MulAdd(p, s, constant(0.13444522f));
  p = hn::MulAdd(p, s, constant(1.0f));
  V q = constant(8.52266453e-07f);
  q = hn::MulAdd(q, s, constant(0.000341133506f));
  q = hn::MulAdd(q, s, constant(0.0261645485f));
  q = hn::MulAdd(q, s, constant(0.467778504f));
  q = hn::MulAdd(q, s, constant(1.0f));
  return hn::Div(hn::Mul(x, p), q);
}

/// The state that follows, from z = input + W_hh . h.
template <class Real>
HWY_INLINE Vector<Real> next_state(Cell cell, Vector<Real> z) {
  static_assert(kCells.size() == 2, "those below");
  if (cell == Cell::kTanh) return fast_tanh(z);
  return hn::IfThenZeroElse(hn::Lt(z, hn::Zero(Tag<Real>())), z);  // keeps NaN
}

/// dz, from the gradient of the state that followed and that state.
template <class Real>
HWY_INLINE Vector<Real> input_gradient(Cell cell, Vector<Real> d_h, Vector<Real> h) {
  const Tag<Real> d;
  const Vector<Real> one = hn::Set(d, Real{1});
  const Vector<Real> slope =
      cell == Cell::kTanh ? hn::NegMulAdd(h, h, one) : hn::IfThenElseZero(hn::Gt(h, hn::Zero(d)), one);
  return hn::Mul(d_h, slope);
}

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
