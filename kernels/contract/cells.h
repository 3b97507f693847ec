// The recurrent cells: one row of a table each. A cell's arithmetic stands in kernels/cpu/cells-inl.h and
// kernels/cuda/recurrence/cells.cuh; flags, file entries and tests go through this table.
#pragma once

#include <array>
#include <cstddef>

namespace reel {

/// sigmoid(x) = 1 / (1 + exp(-x)); x: the projected input of a gate, bias included; U: its rows of W_hh. Gates stand in
/// PyTorch's order, H rows each.
enum class Cell {
  kTanh,  // h' = tanh(x + U h)
  kRelu,  // h' = max(x + U h, 0)
  /// Cho et al. (2014), reset after the product as in cuDNN: r = sigmoid(x_r + U_r h), z = sigmoid(x_z + U_z h),
  /// m = U_n h + b_hh, n = tanh(x_n + r m), h' = (1 - z) n + z h. Keeps r, z, n, m.
  kGru,
  /// Hochreiter and Schmidhuber (1997), Gers et al. (2000): i = sigmoid(x_i + U_i h), f = sigmoid(x_f + U_f h),
  /// g = tanh(x_g + U_g h), o = sigmoid(x_o + U_o h), c' = f c + i g, h' = o tanh(c'). Keeps i, f, g, o, c'.
  kLstm,
};

struct CellTraits {
  Cell cell;
  const char* name;  // in flags and files
  int gates;         // blocks of H rows in W_ih, W_hh and the bias
  int saved;         // numbers of a unit and step that the way back needs beside h; 0: none
  /// Whether the last gate has a bias of its own on the side of W_hh; elsewhere the two are one.
  bool recurrent_bias;
  /// |h| <= 1: its states can be rounded to 16 bits. ReLU's are not bounded, and where it bends rounding turns
  /// gradients on and off.
  bool bounded;
  /// Whether the CUDA kernels of one gate know it.
  bool tuned;
};

inline constexpr std::array kCells = {
    CellTraits{.cell = Cell::kTanh,
               .name = "tanh",
               .gates = 1,
               .saved = 0,
               .recurrent_bias = false,
               .bounded = true,
               .tuned = true},
    CellTraits{.cell = Cell::kRelu,
               .name = "relu",
               .gates = 1,
               .saved = 0,
               .recurrent_bias = false,
               .bounded = false,
               .tuned = true},
    CellTraits{.cell = Cell::kGru,
               .name = "gru",
               .gates = 3,
               .saved = 4,
               .recurrent_bias = true,
               .bounded = true,
               .tuned = false},
    CellTraits{.cell = Cell::kLstm,
               .name = "lstm",
               .gates = 4,
               .saved = 5,
               .recurrent_bias = false,
               .bounded = true,
               .tuned = false},
};

constexpr const CellTraits& traits(Cell cell) { return kCells[static_cast<std::size_t>(cell)]; }
static_assert(
    [] {
      for (std::size_t i = 0; i < kCells.size(); ++i) {
        if (kCells[i].cell != static_cast<Cell>(i)) return false;
      }
      return true;
    }(),
    "in the order of Cell");

}  // namespace reel
