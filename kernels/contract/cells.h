// The recurrent cells: one row of a table each. A cell's arithmetic stands in kernels/cpu/cells-inl.h and
// kernels/cuda/recurrence/cells.cuh; flags, file entries and tests go through this table.
#pragma once

#include <array>
#include <cstddef>

namespace reel {

/// With z[t] = projected input + W_hh . h[t]:
enum class Cell {
  kTanh,  // h[t+1] = tanh(z[t])
  kRelu,  // h[t+1] = max(z[t], 0)
};

struct CellTraits {
  Cell cell;
  const char* name;  // in flags and files
  /// |h| <= 1: its states can be rounded to 16 bits. ReLU's are not bounded, and where it bends rounding turns
  /// gradients on and off.
  bool bounded;
  /// Whether the CUDA kernels that keep W_hh know it; a cell that they do not know runs step by step.
  bool tuned;
};

inline constexpr std::array kCells = {
    CellTraits{.cell = Cell::kTanh, .name = "tanh", .bounded = true, .tuned = true},
    CellTraits{.cell = Cell::kRelu, .name = "relu", .bounded = false, .tuned = true},
};

constexpr const CellTraits& traits(Cell cell) { return kCells[static_cast<std::size_t>(cell)]; }
static_assert(traits(Cell::kTanh).cell == Cell::kTanh && traits(Cell::kRelu).cell == Cell::kRelu,
              "in the order of Cell");

}  // namespace reel
