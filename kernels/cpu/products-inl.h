// Matrix products for the CPU, compiled once for each instruction set (Highway). Two kernels serve every operation:
//
//   multiply_rows  C[r, :] = A[r, :] . P      rows of A by pointer, P packed into panels that stay in the L1 cache
//   add_outer      C += sum over k of a[k] b[k]^T   pairs of rows by pointer
//
// Rows are addressed by pointer because they are gathered: by token, by batch row, by time step. An element of C is
// summed in ascending k whatever the number of rows handled together, so that results do not depend on how work is
// split.

#if defined(REEL_KERNELS_CPU_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REEL_KERNELS_CPU_PRODUCTS_INL_H_
#undef REEL_KERNELS_CPU_PRODUCTS_INL_H_
#else
#define REEL_KERNELS_CPU_PRODUCTS_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

#include "hwy/cache_control.h"
#include "hwy/highway.h"

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

// 6 rows x 2 vectors fill the 16 registers of AVX2; targets with 32 registers take 6 x 4.
constexpr std::size_t kPanelVectors = 2;
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr std::size_t kGroupRows = 12;
#else
constexpr std::size_t kGroupRows = 6;
#endif
template <class Real>
constexpr std::size_t kPanelColumns = kPanelVectors* kLanes<Real>;

/// Asks for `count` elements before they are needed: gathered rows lie where the hardware does not expect them.
template <class Real>
HWY_INLINE void prefetch_row(const Real* from, std::size_t count) {
  constexpr std::size_t kLine = 64 / sizeof(Real);
  for (std::size_t i = 0; i < count; i += kLine) hwy::Prefetch(from + i);
}

/// The first `count` lanes from memory (zero after them); `count` may exceed the vector.
template <class Real>
HWY_INLINE Vector<Real> load_part(const Real* from, std::size_t count) {
  const Tag<Real> d;
  if (count >= kLanes<Real>) return hn::LoadU(d, from);
  alignas(64) Real lanes[kLanes<Real>] = {};
  std::memcpy(lanes, from, count * sizeof(Real));
  return hn::Load(d, lanes);
}

template <class Real>
HWY_INLINE void store_part(Vector<Real> v, Real* to, std::size_t count) {
  const Tag<Real> d;
  if (count >= kLanes<Real>) {
    hn::StoreU(v, d, to);
    return;
  }
  alignas(64) Real lanes[kLanes<Real>];
  hn::Store(v, d, lanes);
  std::memcpy(to, lanes, count * sizeof(Real));
}

/// A matrix [depth, columns] cut into panels of kPanelColumns columns, each [depth, kPanelColumns], zero-padded.
template <class Real>
struct PackedMatrix {
  const Real* data;
  std::size_t depth, columns;

  std::size_t panels() const { return (columns + kPanelColumns<Real> - 1) / kPanelColumns<Real>; }
  const Real* panel(std::size_t p) const { return data + p * depth * kPanelColumns<Real>; }
};

template <class Real>
std::size_t packed_size(std::size_t depth, std::size_t columns) {
  return depth * ((columns + kPanelColumns<Real> - 1) / kPanelColumns<Real> * kPanelColumns<Real>);
}

/// Element (k, n) of the packed matrix is from[k * depth_stride + n * column_stride].
template <class Real>
PackedMatrix<Real> pack(const Real* from, std::size_t depth_stride, std::size_t column_stride, std::size_t depth,
                        std::size_t columns, std::span<Real> to) {
  Real* out = to.data();
  for (std::size_t first = 0; first < columns; first += kPanelColumns<Real>) {
    const std::size_t width = std::min(kPanelColumns<Real>, columns - first);
    for (std::size_t k = 0; k < depth; ++k, out += kPanelColumns<Real>) {
      const Real* row = from + k * depth_stride + first * column_stride;
      for (std::size_t n = 0; n < width; ++n) out[n] = row[n * column_stride];
      std::fill(out + width, out + kPanelColumns<Real>, Real{0});
    }
  }
  return {to.data(), depth, columns};
}

// The sums of a tile stay in registers only where every loop over them is unrolled, which GCC does not always find
// worth its while.
#undef REEL_UNROLL
#define REEL_UNROLL _Pragma("GCC unroll 16")

template <std::size_t kRows, class Real, class Finish>
HWY_INLINE void multiply_group(const Real* const* rows, std::size_t depth, const Real* HWY_RESTRICT panel,
                               const Finish& finish) {
  const Tag<Real> d;
  const Real* a[kRows];
  Vector<Real> sum[kRows][kPanelVectors];
  REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    a[r] = rows[r];
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  for (std::size_t k = 0; k < depth; ++k, panel += kPanelColumns<Real>) {
    Vector<Real> b[kPanelVectors];
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) b[v] = hn::LoadU(d, panel + v * kLanes<Real>);
    REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
      const Vector<Real> x = hn::Set(d, a[r][k]);
      REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) sum[r][v] = hn::MulAdd(x, b[v], sum[r][v]);
    }
  }
  alignas(64) Real done[kRows][kPanelColumns<Real>];
  REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) hn::Store(sum[r][v], d, done[r] + v * kLanes<Real>);
  }
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::size_t v = 0; v < kPanelVectors; ++v) finish(r, v, hn::Load(d, done[r] + v * kLanes<Real>));
  }
}

/// multiply_group for a number of rows known at run time, at most kMost.
template <std::size_t kMost, class Real, class Finish>
HWY_INLINE void multiply_some(std::size_t count, const Real* const* rows, std::size_t depth, const Real* panel,
                              const Finish& finish) {
  if constexpr (kMost > 1) {
    if (count < kMost) return multiply_some<kMost - 1>(count, rows, depth, panel, finish);
  }
  multiply_group<kMost>(rows, depth, panel, finish);
}

/// Calls finish(row, column, columns_left, sum) for each vector of C = rows . matrix. `columns_left` >= 1 counts the
/// columns from `column` to the end; only so many lanes of `sum` mean something.
template <class Real, class Finish>
HWY_INLINE void multiply_rows(std::span<const Real* const> rows, const PackedMatrix<Real>& matrix,
                              const Finish& finish) {
  const std::size_t groups = (rows.size() + kGroupRows - 1) / kGroupRows;
  for (std::size_t p = 0; p < matrix.panels(); ++p) {
    const Real* const panel = matrix.panel(p);
    std::size_t first = 0;
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t end = rows.size() * (g + 1) / groups;  // groups as even as can be
      const auto finish_vector = [&](std::size_t r, std::size_t v, Vector<Real> sum) HWY_ATTR {
        const std::size_t column = p * kPanelColumns<Real> + v * kLanes<Real>;
        if (column < matrix.columns) finish(first + r, column, matrix.columns - column, sum);
      };
      const Real* const* group = rows.data() + first;
      multiply_some<kGroupRows>(end - first, group, matrix.depth, panel, finish_vector);
      first = end;
    }
  }
}

/// Adds to kRows rows of C, one panel wide. a [depth, kGroupRows] and b [depth, kPanelColumns] are packed.
template <std::size_t kRows, class Real>
HWY_INLINE void outer_tile(const Real* HWY_RESTRICT a, const Real* HWY_RESTRICT b, std::size_t depth, Real* c,
                           std::size_t c_stride, std::size_t columns) {
  const Tag<Real> d;
  Vector<Real> sum[kRows][kPanelVectors];
  REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  for (std::size_t k = 0; k < depth; ++k, a += kGroupRows, b += kPanelColumns<Real>) {
    Vector<Real> row[kPanelVectors];
    REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) row[v] = hn::LoadU(d, b + v * kLanes<Real>);
    REEL_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
      const Vector<Real> scale = hn::Set(d, a[r]);
      REEL_UNROLL for (std::size_t v = 0; v < kPanelVectors; ++v) sum[r][v] = hn::MulAdd(scale, row[v], sum[r][v]);
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
template <std::size_t kMost, class Real>
HWY_INLINE void outer_some(std::size_t rows, const Real* a, const Real* b, std::size_t depth, Real* c,
                           std::size_t c_stride, std::size_t columns) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return outer_some<kMost - 1>(rows, a, b, depth, c, c_stride, columns);
  }
  outer_tile<kMost>(a, b, depth, c, c_stride, columns);
}

/// How many pairs ahead of the one being packed add_outer asks for.
constexpr std::size_t kPrefetchDistance = 24;

/// Pairs that add_outer packs at a time: about 128 KB, which stay in the L2 cache.
template <class Real>
constexpr std::size_t outer_depth(std::size_t columns) {
  return std::clamp<std::size_t>(64 * 1024 / sizeof(Real) / columns, 16, 128);
}

/// Scratch that add_outer needs for `rows` rows of C.
template <class Real>
std::size_t outer_scratch(std::size_t rows, std::size_t columns) {
  const std::size_t groups = (rows + kGroupRows - 1) / kGroupRows;
  return packed_size<Real>(outer_depth<Real>(columns), columns) + outer_depth<Real>(columns) * groups * kGroupRows;
}

/// One row of a panel; columns from `left` on are zero.
template <class Real>
HWY_INLINE void copy_panel_row(const Real* HWY_RESTRICT from, std::size_t left, Real* HWY_RESTRICT to) {
  const Tag<Real> d;
  for (std::size_t v = 0; v < kPanelVectors; ++v) {
    const std::size_t column = v * kLanes<Real>;
    const Vector<Real> part = column < left ? load_part(from + column, left - column) : hn::Zero(d);
    hn::StoreU(part, d, to + column);
  }
}

/// One column of a row group: of a size known to the compiler wherever the group is full.
template <class Real>
HWY_INLINE void copy_group(const Real* HWY_RESTRICT from, std::size_t left, Real* HWY_RESTRICT to) {
  if (left >= kGroupRows) {
    for (std::size_t r = 0; r < kGroupRows; ++r) to[r] = from[r];
  } else {
    for (std::size_t r = 0; r < left; ++r) to[r] = from[r];
  }
}

/// Rows [first, last) of C[*, columns] += sum over k of a[k] b[k]^T. Both are packed a piece at a time: columns of
/// gathered rows lie a power of two apart and would evict each other from the L1 cache.
template <class Real>
void add_outer(std::span<const Real* const> a, std::span<const Real* const> b, std::size_t first, std::size_t last,
               std::size_t columns, Real* c, std::span<Real> scratch) {
  const std::size_t depth = outer_depth<Real>(columns);
  for (std::size_t begin = 0; begin < a.size(); begin += depth) {
    const std::size_t count = std::min(depth, a.size() - begin);
    Real* const b_packed = scratch.data();
    Real* const a_packed = b_packed + packed_size<Real>(depth, columns);
    for (std::size_t k = 0; k < count; ++k) {
      if (begin + k + kPrefetchDistance < a.size()) {
        prefetch_row(b[begin + k + kPrefetchDistance], columns);
        prefetch_row(a[begin + k + kPrefetchDistance] + first, last - first);
      }
      for (std::size_t j = 0; j < columns; j += kPanelColumns<Real>) {
        copy_panel_row(b[begin + k] + j, columns - j, b_packed + j * count + k * kPanelColumns<Real>);
      }
      for (std::size_t i = first; i < last; i += kGroupRows) {
        copy_group(a[begin + k] + i, last - i, a_packed + (i - first) * count + k * kGroupRows);
      }
    }
    for (std::size_t j = 0; j < columns; j += kPanelColumns<Real>) {
      for (std::size_t i = first; i < last; i += kGroupRows) {
        const Real* const x = a_packed + (i - first) * count;
        const Real* const y = b_packed + j * count;
        Real* const to = c + i * columns + j;
        outer_some<kGroupRows>(last - i, x, y, count, to, columns, columns - j);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
