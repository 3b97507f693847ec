// C += sum over k of a[k] b[k]^T, compiled once for each instruction set (Highway): pairs of gathered rows by pointer.
// An element of C is summed in ascending k, pieces of a fixed number of pairs at a time, however C is split.

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

/// How many pairs ahead of the one being packed add_outer asks for.
constexpr std::size_t kPrefetchDistance = 24;

/// Pairs that add_outer packs at a time: an even number, about 128 KB, which stay in the L2 cache.
template <class Real>
constexpr std::size_t outer_depth(std::size_t columns) {
  return std::clamp<std::size_t>(64 * 1024 / sizeof(Real) / columns, 16, 128) / 2 * 2;
}

/// Words of scratch that add_outer needs for `rows` rows of C.
template <class Operand>
std::size_t outer_scratch(std::size_t rows, std::size_t columns) {
  const std::size_t depth = outer_depth<typename Operand::Real>(columns);
  const std::size_t padded = (rows + kGroupRows - 1) / kGroupRows * kGroupRows;
  const std::size_t row = rows + kGroupRows + kLanes<typename Operand::Word>;
  return row + packed_size<Operand>(depth, columns) + words_for<Operand>(depth) * padded;
}

/// Adds to kRows rows of C, one panel wide. a [words, kGroupRows] and b [words, kPanelColumns] are packed.
template <std::size_t kRows, class Operand>
HWY_INLINE void outer_tile(const typename Operand::Word* HWY_RESTRICT a, const typename Operand::Word* HWY_RESTRICT b,
                           std::size_t words, typename Operand::Real* c, std::size_t c_stride, std::size_t columns) {
  using Real = typename Operand::Real;
  using Word = typename Operand::Word;
  const Tag<Real> d;
  const Tag<Word> d_word;
  Vector<Real> sum[kRows][kPanelVectors];
  REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  for (std::size_t k = 0; k < words; ++k, a += kGroupRows, b += kPanelColumns<Operand>) {
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
      store_part(hn::Add(load_part(to, left), sum[r][v]), to, left);
    }
  }
}

/// outer_tile for a number of rows known at run time; kMost if there are more.
template <std::size_t kMost, class Operand>
HWY_INLINE void outer_some(std::size_t rows, const typename Operand::Word* a, const typename Operand::Word* b,
                           std::size_t words, typename Operand::Real* c, std::size_t c_stride, std::size_t columns) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return outer_some<kMost - 1, Operand>(rows, a, b, words, c, c_stride, columns);
  }
  outer_tile<kMost, Operand>(a, b, words, c, c_stride, columns);
}

/// Words of the rows of one or two k; a `second` of null counts as zeros. `left` elements are there.
template <class Operand>
HWY_INLINE Vector<typename Operand::Word> load_words(const typename Operand::Real* first,
                                                     const typename Operand::Real* second, std::size_t column,
                                                     std::size_t left) {
  using Real = typename Operand::Real;
  const Vector<Real> zero = hn::Zero(Tag<Real>());
  if (column >= left) return Operand::words(zero, zero);
  const Vector<Real> a = load_part(first + column, left - column);
  return Operand::words(a, second == nullptr ? zero : load_part(second + column, left - column));
}

/// The rows of C in tiles of at most kGroupRows, as even as can be.
struct RowTiles {
  std::size_t rows;

  std::size_t count() const { return (rows + kGroupRows - 1) / kGroupRows; }
  std::size_t begin(std::size_t tile) const { return rows * tile / count(); }
};

/// Packs one word of every tile: the rows of C from their factors in one or two rows of a.
template <class Operand>
HWY_INLINE void pack_tiles(const typename Operand::Real* first, const typename Operand::Real* second, RowTiles tiles,
                           std::size_t words, std::span<typename Operand::Word> row, typename Operand::Word* to) {
  using Word = typename Operand::Word;
  for (std::size_t i = 0; i < tiles.rows; i += kLanes<Word>) {
    hn::StoreU(load_words<Operand>(first, second, i, tiles.rows), Tag<Word>(), row.data() + i);
  }
  // A fixed size copies faster; what comes with it from the next tile is never read.
  for (std::size_t tile = 0; tile < tiles.count(); ++tile, to += words * kGroupRows) {
    std::memcpy(to, row.data() + tiles.begin(tile), kGroupRows * sizeof(Word));
  }
}

/// Rows [first, last) of C[*, columns] += sum over k of a[k] b[k]^T. Both are packed a piece at a time: columns of
/// gathered rows lie a power of two apart and would evict each other from the L1 cache.
template <class Operand>
void add_outer(std::span<const typename Operand::Real* const> a, std::span<const typename Operand::Real* const> b,
               std::size_t first, std::size_t last, std::size_t columns, typename Operand::Real* c,
               std::span<typename Operand::Word> scratch) {
  using Real = typename Operand::Real;
  using Word = typename Operand::Word;
  constexpr std::size_t kStep = Operand::kPerWord, kColumns = kPanelColumns<Operand>;
  const std::size_t depth = outer_depth<Real>(columns), padded = (columns + kColumns - 1) / kColumns * kColumns;
  const RowTiles tiles{last - first};
  const auto tile_row = scratch.first(tiles.rows + kGroupRows + kLanes<Word>);
  Word* const b_packed = scratch.data() + tile_row.size();
  Word* const a_packed = b_packed + packed_size<Operand>(depth, columns);
  for (std::size_t begin = 0; begin < a.size(); begin += depth) {
    const std::size_t count = std::min(depth, a.size() - begin), words = words_for<Operand>(count);
    for (std::size_t k = 0; k < count; k += kStep) {
      for (std::size_t ahead = begin + k + kPrefetchDistance; ahead < begin + k + kPrefetchDistance + kStep; ++ahead) {
        if (ahead >= a.size()) break;
        prefetch_row(b[ahead], columns);
        prefetch_row(a[ahead] + first, last - first);
      }
      const bool two = kStep == 2 && k + 1 < count;
      const Real* const b_second = two ? b[begin + k + 1] : nullptr;
      const Real* const a_second = two ? a[begin + k + 1] + first : nullptr;
      for (std::size_t j = 0; j < padded; j += kLanes<Word>) {
        Word* const to = b_packed + j / kColumns * kColumns * words + k / kStep * kColumns + j % kColumns;
        hn::StoreU(load_words<Operand>(b[begin + k], b_second, j, columns), Tag<Word>(), to);
      }
      pack_tiles<Operand>(a[begin + k] + first, a_second, tiles, words, tile_row, a_packed + k / kStep * kGroupRows);
    }
    for (std::size_t j = 0; j < columns; j += kColumns) {
      for (std::size_t tile = 0; tile < tiles.count(); ++tile) {
        const std::size_t i = tiles.begin(tile), height = tiles.begin(tile + 1) - i;
        outer_some<kGroupRows, Operand>(height, a_packed + tile * words * kGroupRows, b_packed + j * words, words,
                                        c + (first + i) * columns + j, columns, columns - j);
      }
    }
  }
}

/// C[rows, columns] = sum over k of a[k] b[k]^T, cut by rows of C among the threads.
template <class Operand>
void sum_outer(CpuContext& context, std::span<const typename Operand::Real* const> a,
               std::span<const typename Operand::Real* const> b, std::size_t rows, std::size_t columns,
               typename Operand::Real* c) {
  using Word = typename Operand::Word;
  const std::size_t tasks = std::min(RowTiles{rows}.count(), static_cast<std::size_t>(context.pool.size()));
  const std::size_t need = outer_scratch<Operand>((rows + tasks - 1) / tasks, columns);
  const std::span<Word> scratch = context.arena.take<Word>(tasks * need);
  context.pool.run(tasks, [&](std::size_t task) HWY_ATTR {
    const std::size_t first = rows * task / tasks, last = rows * (task + 1) / tasks;
    std::fill_n(c + first * columns, (last - first) * columns, typename Operand::Real{0});
    add_outer<Operand>(a, b, first, last, columns, c, scratch.subspan(task * need, need));
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
