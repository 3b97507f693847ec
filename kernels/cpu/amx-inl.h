// AMX: eight tiles of 16 rows of 64 bytes, and the product of two that hold bfloat16. Compiled once for each
// instruction set (Highway), written as assembly because Highway's targets do not include it.

#if defined(REEL_KERNELS_CPU_AMX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REEL_KERNELS_CPU_AMX_INL_H_
#undef REEL_KERNELS_CPU_AMX_INL_H_
#else
#define REEL_KERNELS_CPU_AMX_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/operands-inl.h"

#if REEL_BF16
HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

constexpr std::size_t kTileRows = 16, kTileBytes = 64;

/// Bf16's factors in tiles. The sums of even and of odd k are kept apart and joined after every 32 (TDPBF16PS).
struct Amx : Bf16 {
  static constexpr std::size_t kWordsAtOnce = kTileBytes / sizeof(Word);
};

/// How a thread uses its tiles: 0 to 3 are sums [two of rows][two of columns], 4 and 5 have the rows' factors and 6 and
/// 7 the columns'. The rows of the second half may be none: its tiles are not to be used then.
class Tiles {
 public:
  Tiles() = default;
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
  ~Tiles() { asm volatile("tilerelease" ::: "memory"); }

  /// Undefines what is in them.
  void set_rows(std::size_t first_half, std::size_t second_half) {
    const auto first = static_cast<std::uint8_t>(first_half), second = static_cast<std::uint8_t>(second_half);
    Config config;
    const std::uint8_t rows[8] = {first, first, second, second, first, second, kTileRows, kTileRows};
    for (std::size_t tile = 0; tile < 8; ++tile) {
      config.rows[tile] = rows[tile];
      config.row_bytes[tile] = rows[tile] > 0 ? kTileBytes : 0;
    }
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  template <int kTile>
  static HWY_INLINE void clear() {
    asm volatile("tilezero %%tmm%c0" ::"n"(kTile));
  }
  /// Rows are `stride` bytes apart.
  template <int kTile>
  static HWY_INLINE void load(const void* from, std::size_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "n"(kTile) : "memory");
  }
  template <int kTile>
  static HWY_INLINE void store(void* to, std::size_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "n"(kTile) : "memory");
  }
  /// sums [m, n] += rows [m, 16 words] . columns [16 words, n]
  template <int kSums, int kRows, int kColumns>
  static HWY_INLINE void multiply_add() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"n"(kSums), "n"(kRows), "n"(kColumns));
  }

 private:
  struct alignas(64) Config {  // as LDTILECFG reads it
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
  };
};

/// 32 x 32 sums of products over `words` words of k, a multiple of 16: of rows from `a`, and from `a_second` if there
/// are any, each `a_stride` bytes apart (16 words further a_step bytes on), and of columns [words, 32].
HWY_INLINE void multiply_tiles(const std::byte* a, const std::byte* a_second, std::size_t a_stride, std::size_t a_step,
                               const std::uint32_t* columns, std::size_t words, float (*sums)[2 * kTileRows]) {
  constexpr std::size_t kAtOnce = Amx::kWordsAtOnce, kStride = 2 * kTileBytes;
  Tiles::clear<0>();
  Tiles::clear<1>();
  if (a_second != nullptr) {
    Tiles::clear<2>();
    Tiles::clear<3>();
  }
  for (std::size_t k = 0; k < words; k += kAtOnce, a += a_step, columns += kAtOnce * 2 * kTileRows) {
    Tiles::load<4>(a, a_stride);
    Tiles::load<6>(columns, kStride);
    Tiles::load<7>(columns + kTileRows, kStride);
    Tiles::multiply_add<0, 4, 6>();
    Tiles::multiply_add<1, 4, 7>();
    if (a_second == nullptr) continue;
    Tiles::load<5>(a_second, a_stride);
    a_second += a_step;
    Tiles::multiply_add<2, 5, 6>();
    Tiles::multiply_add<3, 5, 7>();
  }
  Tiles::store<0>(sums[0], kStride);
  Tiles::store<1>(sums[0] + kTileRows, kStride);
  if (a_second == nullptr) return;
  Tiles::store<2>(sums[kTileRows], kStride);
  Tiles::store<3>(sums[kTileRows] + kTileRows, kStride);
}

/// Words [k][row] of 16 x 16 to [row][k]: what is contiguous from row to row becomes a tile of rows.
HWY_INLINE void transpose_tile(const Vector<std::uint32_t> (&from)[kTileRows], std::uint32_t* to) {
  const Tag<std::uint32_t> d;
  const hn::Repartition<std::uint64_t, Tag<std::uint32_t>> d64;
  Vector<std::uint32_t> fours[kTileRows];  // [4 i + j]: of k 4i .. 4i + 3, the rows j, 4 + j, 8 + j and 12 + j
  REEL_UNROLL for (std::size_t i = 0; i < kTileRows; i += 4) {
    const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, from[i], from[i + 1]));
    const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, from[i], from[i + 1]));
    const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, from[i + 2], from[i + 3]));
    const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, from[i + 2], from[i + 3]));
    fours[i] = hn::BitCast(d, hn::InterleaveLower(d64, low01, low23));
    fours[i + 1] = hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23));
    fours[i + 2] = hn::BitCast(d, hn::InterleaveLower(d64, high01, high23));
    fours[i + 3] = hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23));
  }
  REEL_UNROLL for (std::size_t j = 0; j < 4; ++j) {  // of each, 128-bit blocks are rows: gathered from four vectors
    const auto k0 = fours[j].raw, k4 = fours[4 + j].raw, k8 = fours[8 + j].raw, k12 = fours[12 + j].raw;
    const auto first_low = _mm512_shuffle_i32x4(k0, k4, 0x44), first_high = _mm512_shuffle_i32x4(k8, k12, 0x44);
    const auto last_low = _mm512_shuffle_i32x4(k0, k4, 0xEE), last_high = _mm512_shuffle_i32x4(k8, k12, 0xEE);
    _mm512_store_si512(to + j * kTileRows, _mm512_shuffle_i32x4(first_low, first_high, 0x88));
    _mm512_store_si512(to + (4 + j) * kTileRows, _mm512_shuffle_i32x4(first_low, first_high, 0xDD));
    _mm512_store_si512(to + (8 + j) * kTileRows, _mm512_shuffle_i32x4(last_low, last_high, 0x88));
    _mm512_store_si512(to + (12 + j) * kTileRows, _mm512_shuffle_i32x4(last_low, last_high, 0xDD));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();
#endif  // REEL_BF16

#endif  // per-target include guard
