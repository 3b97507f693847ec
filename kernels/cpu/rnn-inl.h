// What the recurrence and its way back share, compiled once for each instruction set (Highway).

#if defined(REEL_KERNELS_CPU_RNN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REEL_KERNELS_CPU_RNN_INL_H_
#undef REEL_KERNELS_CPU_RNN_INL_H_
#else
#define REEL_KERNELS_CPU_RNN_INL_H_
#endif

#include <span>

#include "kernels/cpu/products-inl.h"
#include "kernels/cpu/row_plan.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

/// Calls step(t, active) for the steps of one task, in either direction; rows[0 .. active) are those with length > t.
template <class F>
void for_each_step(std::span<const std::size_t> rows, std::span<const std::int32_t> lengths, bool forward,
                   const F& step) {
  if (rows.empty()) return;
  const auto longest = static_cast<std::size_t>(lengths[rows[0]]);
  const auto length = [&](std::size_t i) { return static_cast<std::size_t>(lengths[rows[i]]); };
  std::size_t active = forward ? rows.size() : 0;
  for (std::size_t s = 0; s < longest; ++s) {
    const std::size_t t = forward ? s : longest - 1 - s;
    while (active > 0 && length(active - 1) <= t) --active;
    while (active < rows.size() && length(active) > t) ++active;
    step(t, active);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
