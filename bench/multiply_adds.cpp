#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/multiply_adds.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "bench/multiply_adds.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reel::bench {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

double run(std::int64_t rounds, float& sum) {
  const hn::ScalableTag<float> d;
  constexpr std::size_t kChains = 12;  // a processor starts two at once and takes four or five cycles
  const auto factor = hn::Set(d, 0.5f), term = hn::Set(d, 1.0f);
  hn::Vec<decltype(d)> chains[kChains];
  for (std::size_t i = 0; i < kChains; ++i) chains[i] = hn::Set(d, static_cast<float>(i));
  for (std::int64_t round = 0; round < rounds; ++round) {
    _Pragma("GCC unroll 12") for (std::size_t i = 0; i < kChains; ++i) {
      chains[i] = hn::MulAdd(chains[i], factor, term);
    }
  }
  sum = 0;
  for (std::size_t i = 0; i < kChains; ++i) sum += hn::GetLane(chains[i]);
  return 2.0 * static_cast<double>(rounds) * kChains * static_cast<double>(hn::Lanes(d));
}

}  // namespace HWY_NAMESPACE
}  // namespace reel::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel::bench {

HWY_EXPORT(run);

double multiply_adds(std::int64_t rounds, float& sum) { return HWY_DYNAMIC_DISPATCH(run)(rounds, sum); }

}  // namespace reel::bench
#endif  // HWY_ONCE
