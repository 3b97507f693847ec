// C = sum over k of a[k] b[k]^T, compiled once for each instruction set (Highway): pairs of gathered rows by pointer.
// How an element of C is summed depends on shapes alone, not on the number of threads.

#if defined(REEL_KERNELS_CPU_OUTER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REEL_KERNELS_CPU_OUTER_INL_H_
#undef REEL_KERNELS_CPU_OUTER_INL_H_
#else
#define REEL_KERNELS_CPU_OUTER_INL_H_
#endif

#include <algorithm>
#include <span>

#include "kernels/cpu/context.h"
#include "kernels/cpu/operands-inl.h"
#include "kernels/cpu/products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

/// Rows of a tile of C, at most.
template <class Operand>
constexpr std::size_t kOuterRows = kGroupRows;
#if REEL_BF16
template <>
inline constexpr std::size_t kOuterRows<Amx> = 2 * kTileRows;
#endif

/// Rows of C in tiles of at most kOuterRows, as even as can be.
template <class Operand>
struct RowTiles {
  std::size_t count, least, taller;  // the first `taller` tiles have one row more than the least

  explicit RowTiles(std::size_t rows)
      : count((rows + kOuterRows<Operand> - 1) / kOuterRows<Operand>), least(rows / count), taller(rows % count) {}
  std::size_t height(std::size_t tile) const { return least + (tile < taller ? 1 : 0); }
};

/// Words of one k in a packed tile: whole vectors.
template <class Operand>
constexpr std::size_t kTileWords = (kOuterRows<Operand> + kLanes<typename Operand::Word> - 1) /
                                   kLanes<typename Operand::Word>* kLanes<typename Operand::Word>;

/// Pairs that sum_outer_part packs at a time, whole words: about 32 KB, so that packed pairs stay in the L2 cache, or
/// four times that where products take so little time that reading and writing sums matters.
template <class Operand>
constexpr std::size_t outer_depth(std::size_t columns) {
  constexpr std::size_t kWhole = Operand::kPerWord * Operand::kWordsAtOnce, kTimes = Operand::kWordsAtOnce > 1 ? 4 : 1;
  const std::size_t fits = 32 * 1024 / sizeof(typename Operand::Real) / columns;
  return kTimes * std::clamp<std::size_t>(fits, 16, 64) / std::max<std::size_t>(kWhole, 2) *
         std::max<std::size_t>(kWhole, 2);
}

/// Words of scratch that sum_outer_part needs for `rows` rows of C.
template <class Operand>
std::size_t outer_scratch(std::size_t rows, std::size_t columns) {
  const std::size_t depth = outer_depth<Operand>(columns);
  return packed_size<Operand>(depth, columns) +
         RowTiles<Operand>(rows).count * words_for<Operand>(depth) * kTileWords<Operand>;
}

/// kRows rows of C, one panel wide: `adds` to what stands there, or replaces it. a [words, kTileWords] and b [words,
/// kPanelColumns] are packed.
template <std::size_t kRows, class Operand>
HWY_NOINLINE void outer_tile(const typename Operand::Word* HWY_RESTRICT a, const typename Operand::Word* HWY_RESTRICT b,
                             std::size_t words, bool adds, typename Operand::Real* c, std::size_t c_stride,
                             std::size_t columns) {
  using Real = typename Operand::Real;
  using Word = typename Operand::Word;
  const Tag<Real> d;
  const Tag<Word> d_word;
  Vector<Real> sum[kRows][kPanelVectors];
  REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  REEL_UNROLL_TWICE for (std::size_t k = 0; k < words; ++k, a += kTileWords<Operand>, b += kPanelColumns<Operand>) {
    Vector<Word> row[kPanelVectors];
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) row[v] = hn::LoadU(d_word, b + v * kLanes<Word>);
    REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
      const Vector<Word> scale = hn::Set(d_word, a[r]);
      REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) {
        sum[r][v] = Operand::multiply_add(scale, row[v], sum[r][v]);
      }
    }
  }
  REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) {
      if (v * kLanes<Real> >= columns) continue;
      Real* const to = c + r * c_stride + v * kLanes<Real>;
      const std::size_t left = columns - v * kLanes<Real>;
      store_part(adds ? hn::Add(load_part(to, left), sum[r][v]) : sum[r][v], to, left);
    }
  }
}

/// The words that hold rows k and, where they hold two, k + 1: `left` columns of them.
template <class Operand, class Real = typename Operand::Real>
HWY_INLINE Vector<typename Operand::Word> words_of_rows(std::span<const Real* const> rows, std::size_t k,
                                                        std::size_t column, std::size_t left) {
  const bool two = Operand::kPerWord == 2 && k + 1 < rows.size();
  const Vector<Real> first = load_part(rows[k] + column, left);
  return Operand::words(first, two ? load_part(rows[k + 1] + column, left) : hn::Zero(Tag<Real>()));
}

/// Packs columns [column, column + width) of rows to [words_for(rows), stride], zeros from `width` on.
template <class Operand>
void pack_columns(std::span<const typename Operand::Real* const> rows, std::size_t column, std::size_t width,
                  std::size_t stride, typename Operand::Word* to) {
  using Word = typename Operand::Word;
  Word* const end = to + words_for<Operand>(rows.size()) * stride;
  for (std::size_t k = 0; k < rows.size(); k += Operand::kPerWord, to += stride) {
    for (std::size_t j = 0; j < stride; j += kLanes<Word>) {
      hn::StoreU(words_of_rows<Operand>(rows, k, column + j, width > j ? width - j : 0), Tag<Word>(), to + j);
    }
  }
  std::fill(to, end, Word{0});
}

/// A tile's rows of C: what outer_tile() takes of `a`, columns [column, column + height) of its rows.
template <class Operand>
void pack_tile(std::span<const typename Operand::Real* const> rows, std::size_t column, std::size_t height,
               typename Operand::Word* to) {
  pack_columns<Operand>(rows, column, height, kTileWords<Operand>, to);
}

#if REEL_BF16
/// Two halves of 16 rows each, [words / 16] tiles of [16 rows, 16 words].
template <>
inline void pack_tile<Amx>(std::span<const float* const> rows, std::size_t column, std::size_t height,
                           std::uint32_t* to) {
  for (std::size_t first = 0; first < kOuterRows<Amx>; first += kTileRows) {
    const std::size_t left = height > first ? height - first : 0;
    for (std::size_t k = 0; k < words_for<Amx>(rows.size()); k += Amx::kWordsAtOnce, to += kTileRows * kTileRows) {
      Vector<std::uint32_t> words[kTileRows];
      for (std::size_t i = 0; i < kTileRows; ++i) {
        const std::size_t row = (k + i) * Amx::kPerWord;
        words[i] =
            row < rows.size() ? words_of_rows<Amx>(rows, row, column + first, left) : hn::Zero(Tag<std::uint32_t>());
      }
      transpose_tile(words, to);
    }
  }
}
#endif

/// outer_tile for a number of rows known at run time; kMost if there are more.
template <std::size_t kMost, class Operand>
HWY_INLINE void outer_some(std::size_t rows, const typename Operand::Word* a, const typename Operand::Word* b,
                           std::size_t words, bool adds, typename Operand::Real* c, std::size_t c_stride,
                           std::size_t columns) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return outer_some<kMost - 1, Operand>(rows, a, b, words, adds, c, c_stride, columns);
  }
  outer_tile<kMost, Operand>(a, b, words, adds, c, c_stride, columns);
}

/// What one thread computes tiles with: rows of C, at most kOuterRows, one panel wide, as outer_tile() does.
template <class Operand>
class TileProducts {
 public:
  HWY_INLINE void add(std::size_t rows, const typename Operand::Word* a, const typename Operand::Word* b,
                      std::size_t words, bool adds, typename Operand::Real* c, std::size_t c_stride,
                      std::size_t columns) const {
    outer_some<kOuterRows<Operand>, Operand>(rows, a, b, words, adds, c, c_stride, columns);
  }
};

#if REEL_BF16
template <>
class TileProducts<Amx> {
 public:
  TileProducts() { tiles_.set_rows(kTileRows, kTileRows); }
  HWY_NOINLINE void add(std::size_t rows, const std::uint32_t* a, const std::uint32_t* b, std::size_t words, bool adds,
                        float* c, std::size_t c_stride, std::size_t columns) const {
    alignas(64) float sums[kOuterRows<Amx>][kPanelColumns<Amx>];
    const auto* const first = reinterpret_cast<const std::byte*>(a);
    multiply_tiles(first, first + words * kTileBytes, kTileBytes, kTileRows * kTileBytes, b, words, sums);
    for (std::size_t r = 0; r < rows; ++r) {
      REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) {
        const std::size_t skip = v * kLanes<float>;
        if (skip >= columns) continue;
        float* const to = c + r * c_stride + skip;
        const Vector<float> sum = hn::Load(Tag<float>(), sums[r] + skip);
        store_part(adds ? hn::Add(load_part(to, columns - skip), sum) : sum, to, columns - skip);
      }
    }
  }

 private:
  Tiles tiles_;
};
#endif

/// Rows [first, last) of C[*, columns] = sum over k of a[k] b[k]^T. Both are packed a piece at a time: columns of
/// gathered rows lie a power of two apart and would evict each other from the L1 cache. While the products of one piece
/// run, the rows of the next are asked for: they come from the L3 cache or from memory.
template <class Operand>
void sum_outer_part(const CpuContext& context, std::span<const typename Operand::Real* const> a,
                    std::span<const typename Operand::Real* const> b, std::size_t first, std::size_t last,
                    std::size_t columns, typename Operand::Real* c, std::span<typename Operand::Word> scratch) {
  using Real = typename Operand::Real;
  using Word = typename Operand::Word;
  constexpr std::size_t kColumns = kPanelColumns<Operand>;
  const std::size_t depth = outer_depth<Operand>(columns), panels = (columns + kColumns - 1) / kColumns;
  const RowTiles<Operand> tiles(last - first);
  const std::size_t share = depth / (panels * tiles.count) + 1;  // of the next piece's pairs, asked for with each tile
  Word* const b_packed = scratch.data();
  Word* const a_packed = b_packed + packed_size<Operand>(depth, columns);
  const TileProducts<Operand> products;
  if (a.empty()) std::fill_n(c + first * columns, (last - first) * columns, Real{0});
  for (std::size_t begin = 0; begin < a.size(); begin += depth) {
    context.check_interrupted();
    const std::size_t count = std::min(depth, a.size() - begin), words = words_for<Operand>(count);
    for (std::size_t p = 0; p < panels; ++p) {
      const std::size_t column = p * kColumns;
      pack_columns<Operand>(b.subspan(begin, count), column, std::min(kColumns, columns - column), kColumns,
                            b_packed + column * words);
    }
    for (std::size_t tile = 0, row = first; tile < tiles.count; row += tiles.height(tile++)) {
      pack_tile<Operand>(a.subspan(begin, count), row, tiles.height(tile),
                         a_packed + tile * words * kTileWords<Operand>);
    }
    std::size_t ahead = begin + count;
    const std::size_t next_end = std::min(ahead + depth, a.size());
    for (std::size_t p = 0; p < panels; ++p) {
      const std::size_t column = p * kColumns;
      for (std::size_t tile = 0, row = first; tile < tiles.count; row += tiles.height(tile++)) {
        for (const std::size_t end = std::min(ahead + share, next_end); ahead < end; ++ahead) {
          prefetch_row(b[ahead], columns);
          prefetch_row(a[ahead] + first, last - first);
        }
        products.add(tiles.height(tile), a_packed + tile * words * kTileWords<Operand>, b_packed + column * words,
                     words, begin > 0, c + row * columns + column, columns, columns - column);
      }
    }
  }
}

/// How sum_outer cuts its work. The parts depend on shapes alone, and so does every sum; the bands do not matter to it.
template <class Operand>
struct OuterPlan {
  std::size_t parts;  // of the pairs, each with a C of its own
  std::size_t bands;  // of the rows of C

  OuterPlan(std::size_t pairs, std::size_t rows, std::size_t columns, std::size_t threads) : bands(1) {
    constexpr std::size_t kLeastPairs = 512, kMostElements = std::size_t{1} << 19, kMostParts = 16;
    parts = std::clamp<std::size_t>(std::min(pairs / kLeastPairs, kMostElements / (rows * columns)), 1, kMostParts);
    const auto even = [&] { return parts * bands % threads == 0 || parts * bands >= 4 * threads; };
    while (bands < RowTiles<Operand>(rows).count && !even()) ++bands;
  }
};

/// C[rows, columns] = sum over k of a[k] b[k]^T.
template <class Operand>
void sum_outer(CpuContext& context, std::span<const typename Operand::Real* const> a,
               std::span<const typename Operand::Real* const> b, std::size_t rows, std::size_t columns,
               typename Operand::Real* c) {
  using Word = typename Operand::Word;
  using Real = typename Operand::Real;
  const auto threads = static_cast<std::size_t>(context.pool.size());
  const OuterPlan<Operand> plan(a.size(), rows, columns, threads);
  const std::size_t pieces = plan.parts * plan.bands, size = rows * columns;
  const std::size_t need = outer_scratch<Operand>((rows + plan.bands - 1) / plan.bands, columns);
  const std::span<Word> scratch = context.arena.take<Word>(pieces * need);
  const std::span<Real> sums = context.arena.take<Real>((plan.parts - 1) * size);  // of all parts but the first
  context.pool.run(pieces, [&](std::size_t piece) HWY_ATTR {
    const std::size_t part = piece / plan.bands, band = piece % plan.bands;
    const std::size_t first = rows * band / plan.bands, last = rows * (band + 1) / plan.bands;
    const std::size_t begin = a.size() * part / plan.parts, count = a.size() * (part + 1) / plan.parts - begin;
    Real* const to = part == 0 ? c : sums.data() + (part - 1) * size;
    sum_outer_part<Operand>(context, a.subspan(begin, count), b.subspan(begin, count), first, last, columns, to,
                            scratch.subspan(piece * need, need));
  });
  if (plan.parts == 1) return;
  context.pool.run(threads, [&](std::size_t task) HWY_ATTR {
    const std::size_t end = size * (task + 1) / threads;
    for (std::size_t i = size * task / threads; i < end; i += kLanes<Real>) {
      Vector<Real> sum = load_part(c + i, end - i);
      for (std::size_t part = 1; part < plan.parts; ++part) {
        sum = hn::Add(sum, load_part(sums.data() + (part - 1) * size + i, end - i));
      }
      store_part(sum, c + i, end - i);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
