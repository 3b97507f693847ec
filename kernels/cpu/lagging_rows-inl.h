// Lazy rows take the steps that they lack, compiled once for each instruction set (Highway): a few vectors at a time
// all of them, in registers.

#if defined(REEL_KERNELS_CPU_LAGGING_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REEL_KERNELS_CPU_LAGGING_ROWS_INL_H_
#undef REEL_KERNELS_CPU_LAGGING_ROWS_INL_H_
#else
#define REEL_KERNELS_CPU_LAGGING_ROWS_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/optimizer_rules-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

/// The steps that rows of the table lack, up to one.
template <class Rule, class Real>
class LaggingRows {
 public:
  /// Of an OptimizerStep or of CatchUp.
  LaggingRows(const auto& op, std::size_t embedding)
      : recent_(recent_rates(op)),
        step_(step_of(op)),
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
  /// Calls visit(i, row_of(i), row_of(a few more)) for first <= i < last.
  static void for_each(std::size_t first, std::size_t last, const auto& row_of, const auto& visit) {
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

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
