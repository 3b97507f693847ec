// A recurrent layer through all time steps, and back.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/cells.h"
#include "kernels/contract/checks.h"
#include "kernels/contract/packed.h"

namespace reel {

struct SequenceShape {
  std::int64_t batch = 0;   // B
  std::int64_t steps = 0;   // T
  std::int64_t hidden = 0;  // H
};

/// A layer's input at (b, t) is row row_of[b, t] of `values`.
template <class Real>
struct IndexedRows {
  std::span<const Real> values;  // [rows, width]
  std::int64_t width = 0;
  std::span<const std::int32_t> row_of;  // [B, T]; defined for t < lengths[b]

  std::int64_t rows() const { return static_cast<std::int64_t>(values.size()) / width; }
};

/// Packed, h is fp16, and d_input and d_recurrent are bfloat16, where the device packs_sequences() of such layers
/// (kernels/backend.h): half as many elements.
///
/// h[t+1, b] = cell(input[row_of[b, t]], W_hh . h[t, b]) for t < lengths[b]; other h are undefined. With last_only
/// those between h[0, b] and h[lengths[b], b] are undefined too. G gates and S saved numbers: kernels/contract/cells.h.
template <class Real>
struct RecurrenceForward {
  static constexpr const char* kName = "rnn_forward";
  Cell cell = Cell::kTanh;
  SequenceShape shape;
  std::span<const std::int32_t> lengths;      // [B]
  std::span<const std::int32_t> by_length{};  // [B] of SelectRows: in which order a device may take rows; or empty
  IndexedRows<Real> input;                    // width G*H
  std::span<const Real> w_hh;                 // [G*H, H]
  std::span<const Real> b_hh{};               // [H] of cells with a recurrent bias
  std::span<Real> h;                          // in/out [T+1, B, H]; h[0] is given
  std::span<const Real> initial_c{};          // [B, H] of LSTM, or empty: 0
  std::span<Real> final_c{};  // out [B, H] of LSTM, after each row's last step, or empty; may be initial_c
  std::span<Real> saved{};    // out [T, B, S*H] for the way back, or empty
  bool last_only = false;
  bool packed = false;
};

/// What flows back into a layer's states: `last` at each row's last step, `every` at every step of it, `maximum` at the
/// step (from 0) that `argmax` has for the unit, and of a layer above at (b, t) the H numbers from `column` on of row
/// row_of[b, t]. What is absent is empty.
template <class Real>
struct OutputGradient {
  std::span<const Real> last{};            // [B, H]
  std::span<const Real> every{};           // [B, H]
  std::span<const Real> maximum{};         // [B, H]
  std::span<const std::int32_t> argmax{};  // [B, H]; -1: no step
  IndexedRows<Real> above{};
  std::int64_t column = 0;

  /// Whether some of it is known step by step alone.
  bool has_steps() const { return !maximum.empty() || !above.values.empty(); }
};

/// Back-propagation through time: d_input[t, b], the gradient of the input, for t < lengths[b]; others are 0 on a
/// device whose IndexSteps lists them (kernels/contract/stack.h), elsewhere undefined. d_recurrent is that of W_hh h +
/// b_hh, which is d_input itself but for cells with a recurrent bias; d_w_hh = sum over t, b of d_recurrent[t, b] h[t,
/// b]^T, d_b_hh = that of its last gate. Truncated, gradients stop `bptt` steps before a row's end: those of steps
/// before are 0. The initial state is a constant.
template <class Real>
struct RecurrenceBackward {
  static constexpr const char* kName = "rnn_backward";
  Cell cell = Cell::kTanh;
  SequenceShape shape;
  std::span<const std::int32_t> lengths;      // [B]
  std::span<const std::int32_t> by_length{};  // [B] as of RecurrenceForward, or empty
  std::span<const Real> h;            // [T+1, B, H]; where it is undefined it is finite: a device may multiply it by 0
  std::span<const Real> saved{};      // [T, B, S*H] of the forward pass
  std::span<const Real> w_hh;         // [G*H, H] of the forward pass into h, from which a device may have kept it
  std::span<const Real> initial_c{};  // [B, H] of the forward pass, or empty
  OutputGradient<Real> d_output;
  std::int64_t bptt = 0;          // 0: to the first step
  std::span<Real> d_input;        // out [T, B, G*H]
  std::span<Real> d_recurrent{};  // scratch [T, B, G*H] of cells with a recurrent bias
  std::span<Real> d_w_hh;         // out [G*H, H]
  std::span<Real> d_b_hh{};       // out [H] of cells with a recurrent bias
  bool packed = false;            // as RecurrenceForward

  std::span<Real> recurrent_gradient() const { return d_recurrent.empty() ? d_input : d_recurrent; }
};

template <class Real>
void check_arguments(const RecurrenceForward<Real>& op) {
  const auto [B, T, H] = op.shape;
  const CellTraits& cell = traits(op.cell);
  check_size(op.lengths, B, "lengths");
  check_optional(op.by_length, B, "by_length");
  check_size(op.input.row_of, B * T, "input.row_of");
  check_positive(H, "hidden");
  check_count(op.input.width, cell.gates * H, "a row of the input");
  check_positive(op.input.rows(), "rows of input.values");
  check_size(op.input.values, op.input.rows() * op.input.width, "input.values");
  check_size(op.w_hh, cell.gates * H * H, "w_hh");
  check_size(op.b_hh, cell.recurrent_bias ? H : 0, "b_hh");
  check_size(op.h, packed_size((T + 1) * B * H, op.packed), "h");
  check_optional(op.saved, T * B * cell.saved * H, "saved");
  check_optional(op.initial_c, op.cell == Cell::kLstm ? B * H : 0, "initial_c");
  check_optional(op.final_c, op.cell == Cell::kLstm ? B * H : 0, "final_c");
}

template <class Real>
void check_arguments(const RecurrenceBackward<Real>& op) {
  const auto [B, T, H] = op.shape;
  const CellTraits& cell = traits(op.cell);
  check_positive(H, "hidden");
  check_size(op.lengths, B, "lengths");
  check_optional(op.by_length, B, "by_length");
  check_size(op.h, packed_size((T + 1) * B * H, op.packed), "h");
  check_size(op.saved, T * B * cell.saved * H, "saved");
  check_size(op.w_hh, cell.gates * H * H, "w_hh");
  check_optional(op.d_output.last, B * H, "d_output.last");
  check_optional(op.d_output.every, B * H, "d_output.every");
  check_optional(op.d_output.maximum, B * H, "d_output.maximum");
  check_size(op.d_output.argmax, static_cast<std::int64_t>(op.d_output.maximum.size()), "d_output.argmax");
  if (const IndexedRows<Real>& above = op.d_output.above; !above.values.empty()) {
    check_not_negative(static_cast<double>(op.d_output.column), "d_output.column");
    check_not_negative(static_cast<double>(above.width - H - op.d_output.column), "columns of d_output.above");
    check_size(above.values, above.rows() * above.width, "d_output.above");
    check_size(above.row_of, B * T, "d_output.above.row_of");
  }
  check_optional(op.initial_c, op.cell == Cell::kLstm ? B * H : 0, "initial_c");
  check_not_negative(static_cast<double>(op.bptt), "bptt");
  const std::int64_t gradients = packed_size(T * B * cell.gates * H, op.packed);
  check_size(op.d_input, gradients, "d_input");
  check_size(op.d_recurrent, cell.recurrent_bias ? gradients : 0, "d_recurrent");
  check_size(op.d_w_hh, cell.gates * H * H, "d_w_hh");
  check_size(op.d_b_hh, cell.recurrent_bias ? H : 0, "d_b_hh");
}

}  // namespace reel
