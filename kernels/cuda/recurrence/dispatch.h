// What a kernel is instantiated for, from what is known at run time.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/contract/cells.h"

namespace reel::cuda {

template <Cell kCell>
using CellConstant = std::integral_constant<Cell, kCell>;

/// f(CellConstant<cell>())
template <class F>
auto with_cell(Cell cell, const F& f) {
  switch (cell) {
    case Cell::kRelu:
      return f(CellConstant<Cell::kRelu>());
    case Cell::kTanh:
      break;
  }
  return f(CellConstant<Cell::kTanh>());
}

/// f(std::integral_constant<int, width>()) with the first of the ascending widths that holds `hidden`, else the last.
template <int kWidth, int... kWider, class F>
auto with_width(std::int64_t hidden, const F& f) {
  if constexpr (sizeof...(kWider) > 0) {
    if (hidden > kWidth) return with_width<kWider...>(hidden, f);
  }
  return f(std::integral_constant<int, kWidth>());
}

}  // namespace reel::cuda
