// Numbers too small to be normal: below 1.2e-38 in float32.
#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace reel {

/// While it lives, this thread reads denormal numbers as 0 and writes 0 for them. Gradients that vanish on their way
/// back end as such numbers, for which some processors take up to a hundred times as long. Of other processors than x86
/// it leaves things as they are.
class FlushDenormals {
 public:
  FlushDenormals() = default;
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
#if defined(__x86_64__)
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  static constexpr unsigned kZeroResults = 0x8000, kZeroOperands = 0x0040;  // of MXCSR: FTZ, DAZ
  static unsigned begin() {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | kZeroResults | kZeroOperands);
    return before;
  }
  unsigned before_ = begin();
#else
  ~FlushDenormals() {}
#endif
};

}  // namespace reel
