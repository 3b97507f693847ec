// What mixed precision multiplies on a processor.
#pragma once

#include <string>

#include "kernels/make_backend.h"

namespace reel::cpu {

/// What a processor can do with bfloat16.
struct Bf16Instructions {
  bool avx512 = false;  // AVX512-BF16: products of pairs in vectors
  bool amx = false;     // AMX-BF16: of tiles; the system lets this process use them
};

/// Of this one, and of the instruction set that run-time dispatch chose.
Bf16Instructions bf16_instructions();

/// The fastest of what a processor can do, by its maker ("GenuineIntel", as CPUID tells).
MixedProducts fastest_products(const std::string& maker, const Bf16Instructions& has);

}  // namespace reel::cpu
