// The instructions without side effects, by name.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "tests/emulator/approximations.h"
#include "tests/ptx/module.h"

namespace reel::ptx {
namespace {

using Table = std::map<std::string, Compute>;

template <class T>
T value(std::uint64_t bits) {
  T result;
  std::memcpy(static_cast<void*>(&result), &bits, sizeof result);
  return result;
}

template <class T>
std::uint64_t bits(T value) {
  std::uint64_t result = 0;
  std::memcpy(&result, &value, sizeof value);
  return result;
}

/// Adds an instruction whose operands are of type T; F takes one to three of them.
template <class T, class F>
void add(Table& table, const std::string& name, F) {
  static_assert(std::is_empty_v<F>, "made anew where it is called");
  table[name] = [](std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    if constexpr (std::is_invocable_v<F, T, T, T>) {
      return bits(F()(value<T>(a), value<T>(b), value<T>(c)));
    } else if constexpr (std::is_invocable_v<F, T, T>) {
      return bits(F()(value<T>(a), value<T>(b)));
    } else {
      return bits(F()(value<T>(a)));
    }
  };
}

/// Comparisons; the unordered ones are true of NaN.
template <class T>
void add_comparisons(Table& table, const std::string& type) {
  const auto name = [&](const char* what) { return std::string("setp.") + what + "." + type; };
  add<T>(table, name("eq"), [](T a, T b) { return a == b; });
  add<T>(table, name("ne"), [](T a, T b) { return a < b || a > b; });
  add<T>(table, name("lt"), [](T a, T b) { return a < b; });
  add<T>(table, name("le"), [](T a, T b) { return a <= b; });
  add<T>(table, name("gt"), [](T a, T b) { return a > b; });
  add<T>(table, name("ge"), [](T a, T b) { return a >= b; });
  add<T>(table, name("equ"), [](T a, T b) { return !(a < b || a > b); });
  add<T>(table, name("neu"), [](T a, T b) { return a != b; });
  add<T>(table, name("ltu"), [](T a, T b) { return !(a >= b); });
  add<T>(table, name("leu"), [](T a, T b) { return !(a > b); });
  add<T>(table, name("gtu"), [](T a, T b) { return !(a <= b); });
  add<T>(table, name("geu"), [](T a, T b) { return !(a < b); });
  add<T>(table, name("nan"), [](T a, T b) { return a != a || b != b; });
  add<T>(table, name("num"), [](T a, T b) { return a == a && b == b; });
}

/// T is signed for .s, unsigned for .u and .b.
template <class T>
void add_integers(Table& table, const std::string& type) {
  using U = std::make_unsigned_t<T>;
  constexpr unsigned kBits = 8 * sizeof(T);
  add<U>(table, "add." + type, [](U a, U b) { return static_cast<U>(a + b); });
  add<U>(table, "sub." + type, [](U a, U b) { return static_cast<U>(a - b); });
  add<U>(table, "mul.lo." + type, [](U a, U b) { return static_cast<U>(std::uint64_t{a} * b); });
  add<U>(table, "mad.lo." + type, [](U a, U b, U c) { return static_cast<U>(std::uint64_t{a} * b + c); });
  add<U>(table, "neg." + type, [](U a) { return static_cast<U>(0 - a); });
  add<T>(table, "div." + type, [](T a, T b) { return static_cast<T>(b == 0 ? T{0} : static_cast<T>(a / b)); });
  add<T>(table, "rem." + type, [](T a, T b) { return static_cast<T>(b == 0 ? a : static_cast<T>(a % b)); });
  add<T>(table, "min." + type, [](T a, T b) { return std::min(a, b); });
  add<T>(table, "max." + type, [](T a, T b) { return std::max(a, b); });
  add<U>(table, "and." + type, [](U a, U b) { return static_cast<U>(a & b); });
  add<U>(table, "or." + type, [](U a, U b) { return static_cast<U>(a | b); });
  add<U>(table, "xor." + type, [](U a, U b) { return static_cast<U>(a ^ b); });
  add<U>(table, "not." + type, [](U a) { return static_cast<U>(~a); });
  table["shl." + type] = [](std::uint64_t a, std::uint64_t b, std::uint64_t) {
    return bits(static_cast<std::uint32_t>(b) >= kBits ? U{0} : static_cast<U>(value<U>(a) << (b & 63)));
  };
  table["shr." + type] = [](std::uint64_t a, std::uint64_t b, std::uint64_t) {
    if (static_cast<std::uint32_t>(b) >= kBits) return bits(static_cast<T>(value<T>(a) < 0 ? -1 : 0));
    return bits(static_cast<T>(value<T>(a) >> (b & 63)));
  };
  table["selp." + type] = [](std::uint64_t a, std::uint64_t b, std::uint64_t c) { return (c & 1) != 0 ? a : b; };
  add_comparisons<T>(table, type);
}

template <class T>
void add_floats(Table& table, const std::string& type) {
  add<T>(table, "add.rn." + type, [](T a, T b) { return a + b; });
  add<T>(table, "sub.rn." + type, [](T a, T b) { return a - b; });
  add<T>(table, "mul.rn." + type, [](T a, T b) { return a * b; });
  add<T>(table, "div.rn." + type, [](T a, T b) { return a / b; });
  add<T>(table, "fma.rn." + type, [](T a, T b, T c) { return std::fma(a, b, c); });
  add<T>(table, "rcp.rn." + type, [](T a) { return 1 / a; });
  add<T>(table, "sqrt.rn." + type, [](T a) { return std::sqrt(a); });
  add<T>(table, "neg." + type, [](T a) { return -a; });
  add<T>(table, "abs." + type, [](T a) { return std::abs(a); });
  add<T>(table, "min." + type, [](T a, T b) { return std::fmin(a, b); });
  add<T>(table, "max." + type, [](T a, T b) { return std::fmax(a, b); });
  table["selp." + type] = [](std::uint64_t a, std::uint64_t b, std::uint64_t c) { return (c & 1) != 0 ? a : b; };
  add_comparisons<T>(table, type);
}

void add_special_floats(Table& table) {
  add<float>(table, "fma.rm.f32", [](float a, float b, float c) {
    const int mode = std::fegetround();
    std::fesetround(FE_DOWNWARD);
    const volatile float result = std::fma(a, b, c);
    std::fesetround(mode);
    return static_cast<float>(result);
  });
  add<float>(table, "ex2.approx.ftz.f32", [](float a) { return std::exp2(a); });
  add<double>(table, "rcp.approx.ftz.f64", [](double a) { return 1 / a; });
  add<float>(table, "tanh.approx.f32", [](float a) { return emulator::tanh_approx(a); });
  add<float>(table, "rcp.approx.ftz.f32", [](float a) { return emulator::reciprocal_approx(a); });
  add<float>(table, "min.NaN.f32", [](float a, float b) { return emulator::min_or_nan(a, b); });
  add<float>(table, "max.NaN.f32", [](float a, float b) { return emulator::max_or_nan(a, b); });
}

template <class From, class To>
void add_conversion(Table& table, const std::string& name) {
  add<From>(table, "cvt." + name, [](From a) { return static_cast<To>(a); });
}

void add_conversions(Table& table) {
  add_conversion<std::int32_t, std::int64_t>(table, "s64.s32");
  add_conversion<std::uint32_t, std::uint64_t>(table, "u64.u32");
  add_conversion<std::uint64_t, std::uint32_t>(table, "u32.u64");
  add_conversion<std::uint16_t, std::uint32_t>(table, "u32.u16");
  add_conversion<std::uint32_t, std::uint16_t>(table, "u16.u32");
  add_conversion<std::int32_t, float>(table, "rn.f32.s32");
  add_conversion<std::uint32_t, float>(table, "rn.f32.u32");
  add_conversion<std::int32_t, double>(table, "rn.f64.s32");
  add_conversion<std::uint32_t, double>(table, "rn.f64.u32");
  add_conversion<float, double>(table, "f64.f32");
  add_conversion<double, float>(table, "rn.f32.f64");
  add<float>(table, "cvt.sat.f32.f32", [](float a) { return a != a ? 0.0f : std::min(1.0f, std::max(0.0f, a)); });
  add<float>(table, "cvt.rn.f16.f32", [](float a) { return __half_as_ushort(__float2half_rn(a)); });
  add<float>(table, "cvt.rn.bf16.f32", [](float a) { return __bfloat16_as_ushort(__float2bfloat16_rn(a)); });
  add<float>(table, "cvt.rn.f16x2.f32", [](float high, float low) {
    const std::uint32_t upper = __half_as_ushort(__float2half_rn(high));
    return upper << 16 | __half_as_ushort(__float2half_rn(low));
  });
  add<float>(table, "cvt.rn.bf16x2.f32", [](float high, float low) {
    const std::uint32_t upper = __bfloat16_as_ushort(__float2bfloat16_rn(high));
    return upper << 16 | __bfloat16_as_ushort(__float2bfloat16_rn(low));
  });
  add<std::uint16_t>(table, "cvt.f32.f16", [](std::uint16_t a) { return __half2float(__ushort_as_half(a)); });
  add<std::uint16_t>(table, "cvt.f32.bf16", [](std::uint16_t a) { return __bfloat162float(__ushort_as_bfloat16(a)); });
}

template <class From, class To>
void add_wide_product(Table& table, const std::string& type) {
  add<From>(table, "mul.wide." + type, [](From a, From b) { return static_cast<To>(static_cast<To>(a) * b); });
}

Table make_table() {
  Table table;
  add_integers<std::int16_t>(table, "s16");
  add_integers<std::int32_t>(table, "s32");
  add_integers<std::int64_t>(table, "s64");
  for (const char* kind : {"u", "b"}) {
    add_integers<std::uint16_t>(table, std::string(kind) + "16");
    add_integers<std::uint32_t>(table, std::string(kind) + "32");
    add_integers<std::uint64_t>(table, std::string(kind) + "64");
  }
  add_floats<float>(table, "f32");
  add_floats<double>(table, "f64");
  add_special_floats(table);
  add_conversions(table);
  add_wide_product<std::int32_t, std::int64_t>(table, "s32");
  add_wide_product<std::uint32_t, std::uint64_t>(table, "u32");
  add_wide_product<std::uint16_t, std::uint32_t>(table, "u16");
  table["mad.wide.s32"] = [](std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    return bits(std::int64_t{value<std::int32_t>(a)} * value<std::int32_t>(b) + value<std::int64_t>(c));
  };
  add<std::int32_t>(table, "mul.hi.s32", [](std::int32_t x, std::int32_t y) {
    return static_cast<std::int32_t>(std::int64_t{x} * y >> 32);
  });
  add<bool>(table, "and.pred", [](bool a, bool b) { return a && b; });
  add<bool>(table, "or.pred", [](bool a, bool b) { return a || b; });
  add<bool>(table, "xor.pred", [](bool a, bool b) { return a != b; });
  add<bool>(table, "not.pred", [](bool a) { return !a; });
  add<std::uint32_t>(table, "mapa.shared::cluster.u32", [](std::uint32_t address, std::uint32_t rank) {
    return (address & ((1u << kRankShift) - 1)) | (rank + 1) << kRankShift;
  });
  for (const char* same : {"cvta.to.global.u64", "cvta.global.u64", "cvta.to.local.u64", "cvta.local.u64"}) {
    add<std::uint64_t>(table, same, [](std::uint64_t a) { return a; });
  }
  return table;
}

}  // namespace

Compute find_compute(const std::string& opcode) {
  static const Table table = make_table();
  const auto found = table.find(opcode);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace reel::ptx
