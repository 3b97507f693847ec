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

/// The state that follows, from z = input + W_hh . h, of cells of one gate.
template <class Real>
HWY_INLINE Vector<Real> next_state(Cell cell, Vector<Real> z) {
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

/// 1 / (1 + exp(-x)) = 1/2 + 1/2 tanh(x/2)
template <class V>
HWY_INLINE V sigmoid(V x) {
  const V half = hn::Set(hn::DFromV<V>(), hn::TFromV<V>{0.5});
  return hn::MulAdd(half, fast_tanh(hn::Mul(half, x)), half);
}
/// The slopes of sigmoid and tanh, from their values.
template <class V>
HWY_INLINE V sigmoid_slope(V y) {
  return hn::NegMulAdd(y, y, y);
}
template <class V>
HWY_INLINE V tanh_slope(V y) {
  return hn::NegMulAdd(y, y, hn::Set(hn::DFromV<V>(), hn::TFromV<V>{1}));
}

/// One step of a batch row of a gated cell: what it reads and writes, H apart from gate to gate.
template <class Real>
struct GatedStep {
  const Real *x, *product;  // [G*H] each: projected input, W_hh . h
  const Real* b_hh;         // [H] GRU
  const Real *h, *c;        // [H] before the step; c: LSTM
  Real *h_next, *c_next;    // [H]
  Real* saved;              // [S*H] or null
  bool streams;             // `saved`
};

/// h' of the units from `column` on, written to the step.
template <class Real, class Part>
HWY_INLINE void run_gated_step(Cell cell, const GatedStep<Real>& s, std::size_t H, std::size_t column, Part part) {
  const auto load = [&](const Real* from, std::size_t block)
                        HWY_ATTR { return load_part(from + block * H + column, part); };
  const auto store = [&](Vector<Real> v, Real* to, std::size_t block)
                         HWY_ATTR { store_part(v, to + block * H + column, part); };
  const auto keep = [&](Vector<Real> v, Real* to, std::size_t block)
                        HWY_ATTR { stream_part(v, to + block * H + column, part, s.streams); };
  const auto gate = [&](std::size_t g) HWY_ATTR { return hn::Add(load(s.product, g), load(s.x, g)); };
  if (cell == Cell::kLstm) {
    const Vector<Real> i = sigmoid(gate(0)), f = sigmoid(gate(1)), g = fast_tanh(gate(2)), o = sigmoid(gate(3));
    const Vector<Real> c = hn::MulAdd(f, load(s.c, 0), hn::Mul(i, g));
    store(c, s.c_next, 0);
    store(hn::Mul(o, fast_tanh(c)), s.h_next, 0);
    if (s.saved == nullptr) return;
    keep(i, s.saved, 0);
    keep(f, s.saved, 1);
    keep(g, s.saved, 2);
    keep(o, s.saved, 3);
    keep(c, s.saved, 4);
  } else {
    const Vector<Real> r = sigmoid(gate(0)), z = sigmoid(gate(1)), m = hn::Add(load(s.product, 2), load(s.b_hh, 0));
    const Vector<Real> n = fast_tanh(hn::MulAdd(r, m, load(s.x, 2)));
    store(hn::MulAdd(z, hn::Sub(load(s.h, 0), n), n), s.h_next, 0);
    if (s.saved == nullptr) return;
    keep(r, s.saved, 0);
    keep(z, s.saved, 1);
    keep(n, s.saved, 2);
    keep(m, s.saved, 3);
  }
}

/// The same step on the way back.
template <class Real>
struct GatedStepBack {
  const Real* saved;            // [S*H]
  const Real *h, *c;            // [H] before the step; c: LSTM, null: 0
  Real* carry;                  // [H] in/out: what the step before gets past W_hh: dc of LSTM, part of dh of GRU
  Real *d_input, *d_recurrent;  // [G*H]
  bool streams;                 // `d_input`, where it is not d_recurrent
  /// Asked for: the same of the step before, which comes next: `saved`, the one of h and c that the cell reads (where
  /// it lies in memory of this operation), and d_recurrent, which is written.
  const Real *saved_next, *before_next, *d_recurrent_next;
};

/// d_h: the gradient of the units' states from `column` on but for what is carried. Calls keep(gate, d_recurrent).
template <class Real, class Part, class Keep>
HWY_INLINE void run_gated_step_back(Cell cell, const GatedStepBack<Real>& s, std::size_t H, std::size_t column,
                                    Part part, Vector<Real> d_h, const Keep& keep) {
  const auto load = [&](const Real* from, std::size_t block)
                        HWY_ATTR { return load_part(from + block * H + column, part); };
  const auto store = [&](std::size_t g, Vector<Real> v) HWY_ATTR {
    store_part(v, s.d_recurrent + g * H + column, part);
    keep(g, v);
  };
  for (std::size_t block = 0; block < 4; ++block) __builtin_prefetch(s.saved_next + block * H + column, 0, 2);
  __builtin_prefetch(s.before_next + column, 0, 2);
  for (std::size_t block = 0; block < static_cast<std::size_t>(traits(cell).gates); ++block) {
    __builtin_prefetch(s.d_recurrent_next + block * H + column, 1, 2);
  }
  if (cell == Cell::kLstm) {
    const Vector<Real> i = load(s.saved, 0), f = load(s.saved, 1), g = load(s.saved, 2), o = load(s.saved, 3);
    const Vector<Real> squashed = fast_tanh(load(s.saved, 4));
    const Vector<Real> d_c = hn::MulAdd(hn::Mul(d_h, o), tanh_slope(squashed), load(s.carry, 0));
    const Vector<Real> c = s.c == nullptr ? hn::Zero(Tag<Real>()) : load(s.c, 0);
    store(0, hn::Mul(hn::Mul(d_c, g), sigmoid_slope(i)));
    store(1, hn::Mul(hn::Mul(d_c, c), sigmoid_slope(f)));
    store(2, hn::Mul(hn::Mul(d_c, i), tanh_slope(g)));
    store(3, hn::Mul(hn::Mul(d_h, squashed), sigmoid_slope(o)));
    store_part(hn::Mul(d_c, f), s.carry + column, part);
  } else {
    d_h = hn::Add(d_h, load(s.carry, 0));
    const Vector<Real> r = load(s.saved, 0), z = load(s.saved, 1), n = load(s.saved, 2), m = load(s.saved, 3);
    const Vector<Real> d_n = hn::Mul(hn::NegMulAdd(d_h, z, d_h), tanh_slope(n));
    const Vector<Real> d_r = hn::Mul(hn::Mul(d_n, m), sigmoid_slope(r));
    const Vector<Real> d_z = hn::Mul(hn::Mul(d_h, hn::Sub(load(s.h, 0), n)), sigmoid_slope(z));
    const Vector<Real> d_m = hn::Mul(d_n, r);
    store(0, d_r);
    store(1, d_z);
    store(2, d_m);
    const auto stream = [&](std::size_t g, Vector<Real> v)
                            HWY_ATTR { stream_part(v, s.d_input + g * H + column, part, s.streams); };
    stream(0, d_r);
    stream(1, d_z);
    stream(2, d_n);
    store_part(hn::Mul(d_h, z), s.carry + column, part);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
