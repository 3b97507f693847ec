// The arithmetic of the cells (kernels/contract/cells.h) for vectors, compiled once for each instruction set (Highway).

#if defined(REEL_KERNELS_CPU_CELLS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REEL_KERNELS_CPU_CELLS_INL_H_
#undef REEL_KERNELS_CPU_CELLS_INL_H_
#else
#define REEL_KERNELS_CPU_CELLS_INL_H_
#endif

#include "kernels/contract/cells.h"
#include "kernels/cpu/operands-inl.h"
#include "kernels/cpu/tanh-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

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
