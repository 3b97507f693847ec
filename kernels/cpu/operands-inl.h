// Vectors, and what products multiply: numbers as they are, or rounded to bfloat16. Compiled once for each instruction
// set (Highway).

#if defined(REEL_KERNELS_CPU_OPERANDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REEL_KERNELS_CPU_OPERANDS_INL_H_
#undef REEL_KERNELS_CPU_OPERANDS_INL_H_
#else
#define REEL_KERNELS_CPU_OPERANDS_INL_H_
#endif

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "hwy/cache_control.h"
#include "hwy/highway.h"

// Targets whose processors may have AVX512-BF16; has_bf16() tells at run time. Written as assembly because Highway's
// target does not include it.
#undef REEL_BF16
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
#define REEL_BF16 1
#else
#define REEL_BF16 0
#endif

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class Real>
using Tag = hn::ScalableTag<Real>;
template <class Real>
using Vector = hn::Vec<Tag<Real>>;
template <class Real>
constexpr std::size_t kLanes = hn::MaxLanes(Tag<Real>());

/// Asks for `count` elements to be in the L2 cache before they are needed: gathered rows lie where the hardware does
/// not expect them.
template <class Real>
HWY_INLINE void prefetch_row(const Real* from, std::size_t count) {
  constexpr std::size_t kLine = 64 / sizeof(Real);
  for (std::size_t i = 0; i < count; i += kLine) __builtin_prefetch(from + i, 0, 2);
}

/// How many lanes of a vector count: all of them. Where that is known, the code for the last columns falls away.
struct Whole {};

/// The first `count` lanes from memory (zero after them); `count` may exceed the vector.
template <class Real>
HWY_INLINE Vector<Real> load_part(const Real* from, Whole) {
  return hn::LoadU(Tag<Real>(), from);
}
template <class Real>
HWY_INLINE Vector<Real> load_part(const Real* from, std::size_t count) {
  if (count >= kLanes<Real>) return load_part(from, Whole());
#if HWY_TARGET <= HWY_AVX2  // a mask keeps the processor from touching the other lanes' memory
  return hn::MaskedLoad(hn::FirstN(Tag<Real>(), count), Tag<Real>(), from);
#else
  alignas(64) Real lanes[kLanes<Real>] = {};
  for (std::size_t i = 0; i < count; ++i) lanes[i] = from[i];
  return hn::Load(Tag<Real>(), lanes);
#endif
}

/// The first lanes' integers, as reals.
template <class Real, class Part>
HWY_INLINE Vector<Real> load_integers(const std::int32_t* from, Part part) {
  const hn::Rebind<std::int32_t, Tag<Real>> d;
  alignas(64) std::int32_t lanes[kLanes<Real>] = {};
  if constexpr (!std::is_same_v<Part, Whole>) {
    std::memcpy(lanes, from, (part < kLanes<Real> ? part : kLanes<Real>)*sizeof(std::int32_t));
    from = lanes;
  }
  const auto integers = hn::LoadU(d, from);
  if constexpr (sizeof(Real) == sizeof(std::int32_t)) {
    return hn::ConvertTo(Tag<Real>(), integers);
  } else {
    return hn::PromoteTo(Tag<Real>(), integers);
  }
}

template <class Real>
HWY_INLINE void store_part(Vector<Real> v, Real* to, Whole) {
  hn::StoreU(v, Tag<Real>(), to);
}
template <class Real>
HWY_INLINE void store_part(Vector<Real> v, Real* to, std::size_t count) {
  if (count >= kLanes<Real>) return store_part(v, to, Whole());
#if HWY_TARGET <= HWY_AVX2
  hn::BlendedStore(v, hn::FirstN(Tag<Real>(), count), Tag<Real>(), to);
#else
  alignas(64) Real lanes[kLanes<Real>];
  hn::Store(v, Tag<Real>(), lanes);
  std::memcpy(to, lanes, count * sizeof(Real));
#endif
}

/// Whether rows of `width` should be written past the caches: where they are too many to be still there when they are
/// read, and begin with a cache line, so that lines are written as a whole.
template <class Real>
bool worth_streaming(std::span<const Real> to, std::size_t width) {
  constexpr std::size_t kManyBytes = 4 << 20, kLine = 64;
  return to.size_bytes() >= kManyBytes && width * sizeof(Real) % kLine == 0 &&
         reinterpret_cast<std::uintptr_t>(to.data()) % kLine == 0;
}

/// store_part past the caches, for what is read much later: the processor then need not fetch what it overwrites.
/// hwy::FlushStream() before another thread reads it (where an exception passes it by, nobody does).
template <class Real, class Part>
HWY_INLINE void stream_part(Vector<Real> v, Real* to, Part part, bool streams) {
  if constexpr (std::is_same_v<Part, Whole>) {
    if (streams) return hn::Stream(v, Tag<Real>(), to);
  }
  store_part(v, to, part);
}

/// Factors as they are.
template <class RealT>
struct Exact {
  using Real = RealT;                             // of the sums
  using Word = RealT;                             // what factors are kept in
  static constexpr std::size_t kPerWord = 1;      // factors, of consecutive k
  static constexpr std::size_t kWordsAtOnce = 1;  // what products take no part of

  static Word word(Real first, Real) { return first; }
  static HWY_INLINE Vector<Word> words(Vector<Real> first, Vector<Real>) { return first; }
  static HWY_INLINE Vector<Real> multiply_add(Vector<Word> a, Vector<Word> b, Vector<Real> sum) {
    return hn::MulAdd(a, b, sum);
  }
};

#if !REEL_BF16
constexpr const char* kNoBf16 = "mixed precision on a processor without AVX512-BF16";
#else
/// Factors rounded to bfloat16 (to nearest, ties to even), those of k and k + 1 in a word; sums are float32.
struct Bf16 {
  using Real = float;
  using Word = std::uint32_t;
  static constexpr std::size_t kPerWord = 2;
  static constexpr std::size_t kWordsAtOnce = 1;
  using Rounded = hn::Vec<hn::Rebind<std::uint16_t, Tag<float>>>;

  static Word round(float value) {
    if (std::isnan(value)) return 0x7FC0;
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  }
  static Word word(float first, float second) { return round(first) | round(second) << 16; }

  static HWY_INLINE Rounded round(Vector<float> v) {
    Rounded rounded;
    asm("vcvtneps2bf16 %1, %0" : "=v"(rounded.raw) : "v"(v.raw));
    return rounded;
  }
  static HWY_INLINE Vector<Word> words(Vector<float> first, Vector<float> second) {
    alignas(64) static constexpr std::uint16_t kInterleave[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                                  21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                                  11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const Vector<Word> order = hn::BitCast(Tag<Word>(), hn::Load(Tag<std::uint16_t>(), kInterleave));
    Vector<Word> words;
    asm("vcvtne2ps2bf16 %2, %1, %0" : "=v"(words.raw) : "v"(second.raw), "v"(first.raw));
    asm("vpermw %1, %2, %0" : "=v"(words.raw) : "v"(words.raw), "v"(order.raw));
    return words;
  }
  static HWY_INLINE Vector<float> multiply_add(Vector<Word> a, Vector<Word> b, Vector<float> sum) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
  }
};
#endif

/// How many words hold `count` factors, and zeros after them where products take several words at once.
template <class Operand>
constexpr std::size_t words_for(std::size_t count) {
  constexpr std::size_t kFactors = Operand::kPerWord * Operand::kWordsAtOnce;
  return (count + kFactors - 1) / kFactors * Operand::kWordsAtOnce;
}

// The sums of a tile stay in registers only where every loop over them is unrolled, which GCC does not always find
// worth its while.
#undef REEL_UNROLL
#define REEL_UNROLL _Pragma("GCC unroll 16")
#undef REEL_UNROLL_TWICE
#define REEL_UNROLL_TWICE _Pragma("GCC unroll 2")

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
