#include "kernels/cpu/mixed_products.h"

#include <cstdint>
#include <cstring>

#include "kernels/check.h"
#include "kernels/cpu/operations.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace reel {
namespace cpu {
namespace {

#if defined(__x86_64__)
std::string processor_maker() {
  unsigned eax = 0, words[3] = {};
  if (__get_cpuid(0, &eax, &words[0], &words[2], &words[1]) == 0) return "";
  char text[sizeof words];
  std::memcpy(text, words, sizeof words);
  return {text, sizeof text};
}

/// Whether there is AMX-BF16, and the system lets this process, from then on, use tiles.
bool may_use_amx() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  constexpr unsigned kAmxBf16 = 1U << 22, kAmxTile = 1U << 24;
  if ((edx & kAmxBf16) == 0 || (edx & kAmxTile) == 0) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#else
std::string processor_maker() { return ""; }
bool may_use_amx() { return false; }
#endif

}  // namespace

Bf16Instructions bf16_instructions() {
  static const Bf16Instructions found{.avx512 = has_bf16(), .amx = has_bf16() && may_use_amx()};
  return found;
}

/// Intel's processors do one instruction of AVX512-BF16 a cycle where they do two of float32's, and factors have to be
/// rounded first: a step takes 1.3 to 1.4 times as long. AMD's do as many of both: 1.46 times faster. AMX: 1.5 to 1.6.
/// (bench/notes.md)
MixedProducts fastest_products(const std::string& maker, const Bf16Instructions& has) {
  if (has.amx) return MixedProducts::kAmx;
  if (has.avx512 && maker == "AuthenticAMD") return MixedProducts::kBf16;
  return MixedProducts::kFloat32;
}

}  // namespace cpu

const char* name_of(MixedProducts products) {
  switch (products) {
    case MixedProducts::kAuto:
      return "auto";
    case MixedProducts::kFloat32:
      return "float32";
    case MixedProducts::kBf16:
      return "bf16";
    case MixedProducts::kAmx:
      return "amx";
  }
  return "";
}

MixedProducts fastest_mixed_products() {
  return cpu::fastest_products(cpu::processor_maker(), cpu::bf16_instructions());
}

bool cpu_has(MixedProducts products) {
  const cpu::Bf16Instructions has = cpu::bf16_instructions();
  if (products == MixedProducts::kAuto) return has.avx512;
  return products == MixedProducts::kFloat32 || (products == MixedProducts::kAmx ? has.amx : has.avx512);
}

}  // namespace reel
