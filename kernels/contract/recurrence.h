// A recurrent layer through all time steps, and back.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/cells.h"
#include "kernels/contract/checks.h"

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

/// h[t+1, b] = cell(input[row_of[b, t]], W_hh . h[t, b]) for t < lengths[b]; other h are undefined. With last_only
/// those between h[0, b] and h[lengths[b], b] are undefined too.
template <class Real>
struct RecurrenceForward {
  static constexpr const char* kName = "rnn_forward";
  Cell cell = Cell::kTanh;
  SequenceShape shape;
  std::span<const std::int32_t> lengths;  // [B]
  IndexedRows<Real> input;                // width H
  std::span<const Real> w_hh;             // [H, H]
  std::span<Real> h;                      // in/out [T+1, B, H]; h[0] is given
  bool last_only = false;
};

/// What flows back into a layer's states: `last` at each row's last step, `every` at every step of it. What is absent
/// is empty.
template <class Real>
struct OutputGradient {
  std::span<const Real> last;   // [B, H]
  std::span<const Real> every;  // [B, H]
};

/// Back-propagation through time. With z the argument of the nonlinearity, dz[t, b] for t < lengths[b] (others are
/// undefined) and d_w_hh = sum over t, b of dz[t, b] h[t, b]^T.
template <class Real>
struct RecurrenceBackward {
  static constexpr const char* kName = "rnn_backward";
  Cell cell = Cell::kTanh;
  SequenceShape shape;
  std::span<const std::int32_t> lengths;  // [B]
  std::span<const Real> h;     // [T+1, B, H]; where it is undefined it is finite: a device may multiply it by 0
  std::span<const Real> w_hh;  // [H, H]
  OutputGradient<Real> d_output;
  std::span<Real> dz;      // out [T, B, H]
  std::span<Real> d_w_hh;  // out [H, H]
};

template <class Real>
void check_arguments(const RecurrenceForward<Real>& op) {
  const auto [B, T, H] = op.shape;
  check_size(op.lengths, B, "lengths");
  check_size(op.input.row_of, B * T, "input.row_of");
  check_positive(H, "hidden");
  check_count(op.input.width, H, "a row of the input");
  check_positive(op.input.rows(), "rows of input.values");
  check_size(op.input.values, op.input.rows() * H, "input.values");
  check_size(op.w_hh, H * H, "w_hh");
  check_size(op.h, (T + 1) * B * H, "h");
}

template <class Real>
void check_arguments(const RecurrenceBackward<Real>& op) {
  const auto [B, T, H] = op.shape;
  check_positive(H, "hidden");
  check_size(op.lengths, B, "lengths");
  check_size(op.h, (T + 1) * B * H, "h");
  check_size(op.w_hh, H * H, "w_hh");
  check_optional(op.d_output.last, B * H, "d_output.last");
  check_optional(op.d_output.every, B * H, "d_output.every");
  check_size(op.dz, T * B * H, "dz");
  check_size(op.d_w_hh, H * H, "d_w_hh");
}

}  // namespace reel
