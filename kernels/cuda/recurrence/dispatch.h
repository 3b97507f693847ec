// What a kernel is instantiated for, from what is known at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/contract/cells.h"
#include "kernels/cuda/recurrence/moves.h"
#include "kernels/error.h"

namespace reel::cuda {

template <Cell kCell>
using CellConstant = std::integral_constant<Cell, kCell>;

/// f(CellConstant<cell>())
template <class F>
void with_cell(Cell cell, const F& f) {
  const auto if_it_is = [&](auto constant) {
    if (cell == constant()) f(constant);
  };
  [&]<std::size_t... kIndex>(std::index_sequence<kIndex...>) { (if_it_is(CellConstant<kCells[kIndex].cell>()), ...); }
  (std::make_index_sequence<kCells.size()>());
}

/// The same for cells that have kernels of their own; nothing for others.
template <class F>
void with_tuned_cell(Cell cell, const F& f) {
  with_cell(cell, [&](auto constant) {
    if constexpr (traits(constant()).tuned) f(constant);
  });
}

/// The same for cells of several gates.
template <class F>
void with_gated_cell(Cell cell, const F& f) {
  with_cell(cell, [&](auto constant) {
    if constexpr (traits(constant()).gates > 1) f(constant);
  });
}

/// What widths a strategy's kernels have, ascending.
template <int... kWidths>
struct Widths {};

/// f(std::integral_constant<int, width>()) with the first of the widths that holds `hidden`, else the last.
template <int kWidth, int... kWider, class F>
auto with_width(Widths<kWidth, kWider...>, std::int64_t hidden, const F& f) {
  if constexpr (sizeof...(kWider) > 0) {
    if (hidden > kWidth) return with_width(Widths<kWider...>(), hidden, f);
  }
  return f(std::integral_constant<int, kWidth>());
}

/// f(width, cell) with those of a recurrence's operation.
template <class AllWidths, class Op, class F>
void with_width_and_cell(AllWidths widths, const Op& op, const F& f) {
  with_tuned_cell(op.cell,
                  [&](auto cell) { with_width(widths, op.shape.hidden, [&](auto width) { f(width, cell); }); });
}

/// The same with those of a cell of several gates.
template <class AllWidths, class Op, class F>
void with_width_and_gates(AllWidths widths, const Op& op, const F& f) {
  with_gated_cell(op.cell,
                  [&](auto cell) { with_width(widths, op.shape.hidden, [&](auto width) { f(width, cell); }); });
}

template <Moves kMoves>
using MovesConstant = std::integral_constant<Moves, kMoves>;

/// f(MovesConstant<moves>()) with how sequences are moved, packed or not; whole: whether a thread's units can be at
/// once.
template <class F>
void with_moves(bool packed, bool whole, const F& f) {
  if (packed && !whole) throw Error("tensor cores: packed sequences whose units cannot be moved together");
  if (packed) {
    f(MovesConstant<Moves::kPacked>());
  } else if (whole) {
    f(MovesConstant<Moves::kTogether>());
  } else {
    f(MovesConstant<Moves::kSingly>());
  }
}

}  // namespace reel::cuda
