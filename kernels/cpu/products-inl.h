// C[r, :] = A[r, :] . P, compiled once for each instruction set (Highway): rows of A by pointer, P packed into panels
// that stay in the L1 cache. Rows are addressed by pointer because they are gathered: by token, by batch row, by time
// step. An element of C is summed in ascending k whatever the number of rows handled together, so that results do not
// depend on how work is split.

#if defined(REEL_KERNELS_CPU_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REEL_KERNELS_CPU_PRODUCTS_INL_H_
#undef REEL_KERNELS_CPU_PRODUCTS_INL_H_
#else
#define REEL_KERNELS_CPU_PRODUCTS_INL_H_
#endif

#include <algorithm>
#include <span>

#include "kernels/cpu/amx-inl.h"
#include "kernels/cpu/context.h"
#include "kernels/cpu/operands-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

// 6 rows x 2 vectors fill the 16 registers of AVX2; targets with 32 registers take 12 x 2.
constexpr std::size_t kPanelVectors = 2;
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr std::size_t kGroupRows = 12;
#else
constexpr std::size_t kGroupRows = 6;
#endif
template <class Operand>
constexpr std::size_t kPanelColumns = kPanelVectors* kLanes<typename Operand::Real>;

/// Columns [column, column + kPanelColumns) of a matrix: [words, kPanelColumns].
template <class Operand>
struct Panel {
  const typename Operand::Word* data;
  std::size_t words, column;
};

/// A matrix [depth, columns] cut into panels, zero-padded.
template <class Operand>
struct PackedMatrix {
  const typename Operand::Word* data;
  std::size_t words, columns;

  std::size_t panels() const { return (columns + kPanelColumns<Operand> - 1) / kPanelColumns<Operand>; }
  Panel<Operand> panel(std::size_t p) const {
    const std::size_t column = p * kPanelColumns<Operand>;
    return {data + words * column, words, column};
  }
};

/// Words of a packed matrix [depth, columns].
template <class Operand>
std::size_t packed_size(std::size_t depth, std::size_t columns) {
  constexpr std::size_t kColumns = kPanelColumns<Operand>;
  return words_for<Operand>(depth) * ((columns + kColumns - 1) / kColumns * kColumns);
}

/// Element (k, n) of the packed matrix is from[k * depth_stride + n * column_stride].
template <class Operand>
PackedMatrix<Operand> pack(CpuContext& context, const typename Operand::Real* from, std::size_t depth_stride,
                           std::size_t column_stride, std::size_t depth, std::size_t columns) {
  using Real = typename Operand::Real;
  using Word = typename Operand::Word;
  constexpr std::size_t kColumns = kPanelColumns<Operand>;
  const std::size_t words = words_for<Operand>(depth);
  Word* const to = context.arena.take<Word>(packed_size<Operand>(depth, columns)).data();
  Word* out = to;
  for (std::size_t first = 0; first < columns; first += kColumns) {
    const std::size_t width = std::min(kColumns, columns - first);
    for (std::size_t k = 0; k < depth; k += Operand::kPerWord, out += kColumns) {
      const Real* const row = from + k * depth_stride + first * column_stride;
      const bool last = k + 1 == depth;
      for (std::size_t n = 0; n < width; ++n) {
        const Real* const element = row + n * column_stride;
        out[n] = Operand::word(element[0], Operand::kPerWord == 1 || last ? Real{0} : element[depth_stride]);
      }
      std::fill(out + width, out + kColumns, Word{0});
    }
    Word* const end = to + (first + kColumns) * words;
    std::fill(out, end, Word{0});
    out = end;
  }
  return {to, words, columns};
}

// Columns remaining from `first`; Whole if the panel is full.
HWY_INLINE Whole part_from(Whole, std::size_t) { return {}; }
HWY_INLINE std::size_t part_from(std::size_t columns, std::size_t first) { return columns - first; }
HWY_INLINE bool any_from(Whole, std::size_t) { return true; }
HWY_INLINE bool any_from(std::size_t columns, std::size_t first) { return first < columns; }

/// Calls finish for the sums of rows [first, first + count) in one panel, of which `columns` count.
template <class Real, std::size_t kColumns, class Columns, class Finish>
HWY_INLINE void finish_rows(const Real (*sums)[kColumns], std::size_t count, std::size_t first, std::size_t column,
                            Columns columns, const Finish& finish) {
  for (std::size_t r = 0; r < count; ++r) {
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) {
      const std::size_t skip = v * kLanes<Real>;
      if (!any_from(columns, skip)) continue;
      finish(first + r, column + skip, part_from(columns, skip), hn::Load(Tag<Real>(), sums[r] + skip));
    }
  }
}

/// One panel, of which `columns` count, times rows [first, first + kRows). A function of its own, so that its registers
/// hold sums and nothing of its callers.
template <std::size_t kRows, class Operand, class Columns, class Finish>
HWY_NOINLINE void multiply_group(const typename Operand::Word* const* rows, std::size_t first, Panel<Operand> panel,
                                 Columns columns, const Finish finish) {
  using Real = typename Operand::Real;
  using Word = typename Operand::Word;
  const Tag<Real> d;
  const Tag<Word> d_word;
  const Word* a[kRows];
  Vector<Real> sum[kRows][kPanelVectors];
  REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    a[r] = rows[first + r];
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  const Word* HWY_RESTRICT w = panel.data;
  REEL_UNROLL_TWICE for (std::size_t k = 0; k < panel.words; ++k, w += kPanelColumns<Operand>) {
    Vector<Word> b[kPanelVectors];
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) b[v] = hn::LoadU(d_word, w + v * kLanes<Word>);
    REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
      const Vector<Word> x = hn::Set(d_word, a[r][k]);
      REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) {
        sum[r][v] = Operand::multiply_add(x, b[v], sum[r][v]);
      }
    }
  }
  alignas(64) Real done[kRows][kPanelColumns<Operand>];
  REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) hn::Store(sum[r][v], d, done[r] + v * kLanes<Real>);
  }
  finish_rows(done, kRows, first, panel.column, columns, finish);
}

/// multiply_group for a number of rows known at run time, at most kMost.
template <std::size_t kMost, class Operand, class Columns, class Finish>
HWY_INLINE void multiply_some(std::size_t count, const typename Operand::Word* const* rows, std::size_t first,
                              Panel<Operand> panel, Columns columns, const Finish& finish) {
  if constexpr (kMost > 1) {
    if (count < kMost) return multiply_some<kMost - 1, Operand>(count, rows, first, panel, columns, finish);
  }
  multiply_group<kMost, Operand>(rows, first, panel, columns, finish);
}

/// How multiply_rows() goes about it.
template <class Operand>
struct RowProducts {
  template <class Finish>
  static HWY_INLINE void run(std::span<const typename Operand::Word* const> rows, const PackedMatrix<Operand>& matrix,
                             const Finish& finish) {
    const std::size_t groups = (rows.size() + kGroupRows - 1) / kGroupRows;
    for (std::size_t p = 0; p < matrix.panels(); ++p) {
      const Panel<Operand> panel = matrix.panel(p);
      const std::size_t columns = matrix.columns - panel.column;
      std::size_t first = 0;
      for (std::size_t g = 0; g < groups; ++g) {
        const std::size_t end = rows.size() * (g + 1) / groups;  // groups as even as can be
        if (columns < kPanelColumns<Operand>) {
          multiply_some<kGroupRows, Operand>(end - first, rows.data(), first, panel, columns, finish);
        } else {
          multiply_some<kGroupRows, Operand>(end - first, rows.data(), first, panel, Whole(), finish);
        }
        first = end;
      }
    }
  }
};

#if REEL_BF16
/// Of rows that are equally far apart.
template <>
struct RowProducts<Amx> {
  template <class Finish>
  static HWY_NOINLINE void run(std::span<const std::uint32_t* const> rows, const PackedMatrix<Amx>& matrix,
                               const Finish& finish) {
    if (rows.empty()) return;
    constexpr std::size_t kAtOnce = 2 * kTileRows;
    static_assert(kPanelColumns<Amx> == kAtOnce);
    const auto bytes = [](const std::uint32_t* row) { return reinterpret_cast<const std::byte*>(row); };
    const std::size_t stride =
        rows.size() > 1 ? static_cast<std::size_t>(bytes(rows[1]) - bytes(rows[0])) : std::size_t{kTileBytes};
    Tiles tiles;
    for (std::size_t first = 0; first < rows.size(); first += kAtOnce) {
      const std::size_t count = std::min(kAtOnce, rows.size() - first), first_half = std::min(kTileRows, count);
      tiles.set_rows(first_half, count - first_half);
      const std::byte* const second = count > kTileRows ? bytes(rows[first + kTileRows]) : nullptr;
      for (std::size_t p = 0; p < matrix.panels(); ++p) {
        const Panel<Amx> panel = matrix.panel(p);
        const std::size_t columns = matrix.columns - panel.column;
        alignas(64) float sums[kAtOnce][kAtOnce];
        multiply_tiles(bytes(rows[first]), second, stride, kTileBytes, panel.data, panel.words, sums);
        if (columns < kAtOnce) {
          finish_rows(sums, count, first, panel.column, columns, finish);
        } else {
          finish_rows(sums, count, first, panel.column, Whole(), finish);
        }
      }
    }
  }
};
#endif

/// Calls finish(row, column, part, sum) for each vector of C = rows . matrix. `part` says how many lanes of `sum` count
/// from `column` on: Whole, or the number of columns that are left (at least 1); lanes after those are 0.
template <class Operand, class Finish>
HWY_INLINE void multiply_rows(std::span<const typename Operand::Word* const> rows, const PackedMatrix<Operand>& matrix,
                              const Finish& finish) {
  RowProducts<Operand>::run(rows, matrix, finish);
}

/// Rows [width] that products read: of Exact the rows themselves, of Bf16 rounded copies, padded to whole tiles.
template <class Operand>
class FactorRows {
 public:
  FactorRows(std::size_t, std::size_t, CpuContext&) {}
  const typename Operand::Word* row(std::size_t, const typename Operand::Real* exact) const { return exact; }
  HWY_INLINE void keep(std::size_t, std::size_t, Vector<typename Operand::Real>) const {}
  template <class Part>
  HWY_INLINE void keep(std::size_t, std::size_t, Vector<typename Operand::Real>, Part) const {}
  void keep_row(std::size_t, const typename Operand::Real*) const {}
};

#if REEL_BF16
template <>
class FactorRows<Bf16> {
 public:
  FactorRows(std::size_t rows, std::size_t width, CpuContext& context)
      : width_(width),
        stride_(words_for<Amx>(width) * Bf16::kPerWord),
        copies_(context.arena.take<std::uint16_t>(rows * stride_)) {
    std::ranges::fill(copies_, std::uint16_t{0});  // what parts leave of a row's last word is multiplied by 0
  }

  /// What was kept for row i.
  const std::uint32_t* row(std::size_t i, const float*) const {
    return reinterpret_cast<const std::uint32_t*>(copies_.data() + i * stride_);
  }
  /// Rounds a vector of row i, from `column` on.
  HWY_INLINE void keep(std::size_t i, std::size_t column, Vector<float> v) const {
    const hn::Rebind<std::uint16_t, Tag<float>> d;
    hn::StoreU(Bf16::round(v), d, copies_.data() + i * stride_ + column);
  }
  /// The same, and nothing after the part.
  HWY_INLINE void keep(std::size_t i, std::size_t column, Vector<float> v, Whole) const { keep(i, column, v); }
  void keep(std::size_t i, std::size_t column, Vector<float> v, std::size_t count) const {
    alignas(64) std::uint16_t lanes[kLanes<float>];
    hn::Store(Bf16::round(v), hn::Rebind<std::uint16_t, Tag<float>>(), lanes);
    std::copy_n(lanes, std::min(count, kLanes<float>), copies_.data() + i * stride_ + column);
  }
  void keep_row(std::size_t i, const float* exact) const {
    for (std::size_t j = 0; j < width_; j += kLanes<float>) keep(i, j, load_part(exact + j, width_ - j));
  }

 private:
  std::size_t width_, stride_;
  std::span<std::uint16_t> copies_;
};

template <>
class FactorRows<Amx> : public FactorRows<Bf16> {
 public:
  using FactorRows<Bf16>::FactorRows;
};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
