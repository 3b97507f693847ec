// What the recurrence's kernels are given: RecurrenceForward and RecurrenceBackward as plain pointers.
#pragma once

#include "kernels/contract/recurrence.h"
#include "kernels/cuda/device.h"

namespace reel::cuda {

/// In which order blocks take batch rows, longest first: what they wait for in the end is short then, and rows that are
/// taken together are of similar length. Read before a row's first step alone.
struct RowOrder {
  const std::int32_t* by_length = nullptr;  // [B], or null: in their own

  __device__ int operator[](int i) const { return by_length != nullptr ? by_length[i] : i; }
};

/// Steps of the longest of the batch rows order[begin .. end).
__device__ inline int longest_row(const std::int32_t* lengths, RowOrder order, int begin, int end) {
  int longest = 0;
  for (int i = begin; i < end; ++i) longest = max(longest, lengths[order[i]]);
  return longest;
}

struct RnnForwardArgs {
  const std::int32_t* row_of;   // [B, T]
  const std::int32_t* lengths;  // [B]
  RowOrder order;
  const float* input;      // [rows, G*H]
  const float* w_hh;       // [G*H, H]
  const float* b_hh;       // [H] or null
  float* h;                // [T+1, B, H]
  float* saved;            // [T, B, S*H] or null
  const float* initial_c;  // [B, H] or null
  float* final_c;          // [B, H] or null; may be initial_c
  int batch, steps, hidden;

  explicit RnnForwardArgs(const RecurrenceForward<float>& op)
      : row_of(op.input.row_of.data()),
        lengths(op.lengths.data()),
        order{address_of(op.by_length)},
        input(op.input.values.data()),
        w_hh(op.w_hh.data()),
        b_hh(op.b_hh.data()),
        h(op.h.data()),
        saved(op.saved.data()),
        initial_c(op.initial_c.data()),
        final_c(op.final_c.data()),
        batch(static_cast<int>(op.shape.batch)),
        steps(static_cast<int>(op.shape.steps)),
        hidden(static_cast<int>(op.shape.hidden)) {}
};

/// What the contract's OutputGradient has for whole rows.
struct OutputGradientArgs {
  const float* last;   // [B, H] or null
  const float* every;  // [B, H] or null

  explicit OutputGradientArgs(const OutputGradient<float>& gradient)
      : last(gradient.last.data()), every(gradient.every.data()) {}

  /// Of element i of [B, H]: what its row's last step adds, and what every step does.
  __device__ float last_at(std::size_t i) const { return last != nullptr ? last[i] : 0.0f; }
  __device__ float every_at(std::size_t i) const { return every != nullptr ? every[i] : 0.0f; }
};

/// What it has for single steps.
struct StepGradientArgs {
  const float* maximum;        // [B, H] or null
  const std::int32_t* argmax;  // [B, H]
  const float* above;          // [rows, width] or null
  const std::int32_t* row_of;  // [B, T]
  int width, column;

  explicit StepGradientArgs(const OutputGradient<float>& gradient)
      : maximum(gradient.maximum.data()),
        argmax(gradient.argmax.data()),
        above(gradient.above.values.data()),
        row_of(gradient.above.row_of.data()),
        width(static_cast<int>(gradient.above.width)),
        column(static_cast<int>(gradient.column)) {}

  /// Of unit j of row b at step t, which the row has.
  __device__ float at(int b, int t, int j, int steps, int hidden) const {
    float sum = 0;
    const std::size_t i = static_cast<std::size_t>(b) * hidden + j;
    if (maximum != nullptr && argmax[i] == t) sum = maximum[i];
    if (above == nullptr) return sum;
    return sum + above[static_cast<std::size_t>(row_of[b * steps + t]) * width + column + j];
  }
};

struct RnnBackwardArgs {
  const std::int32_t* lengths;  // [B]
  RowOrder order;
  const float* h;          // [T+1, B, H]
  const float* saved;      // [T, B, S*H] or null
  const float* w_hh;       // [G*H, H]
  const float* initial_c;  // [B, H] or null
  OutputGradientArgs d_output;
  float* d_input;      // [T, B, G*H]
  float* d_recurrent;  // [T, B, G*H]; d_input itself but for cells with a recurrent bias
  int batch, steps, hidden;

  explicit RnnBackwardArgs(const RecurrenceBackward<float>& op)
      : lengths(op.lengths.data()),
        order{address_of(op.by_length)},
        h(op.h.data()),
        saved(op.saved.data()),
        w_hh(op.w_hh.data()),
        initial_c(op.initial_c.data()),
        d_output(op.d_output),
        d_input(op.d_input.data()),
        d_recurrent(op.recurrent_gradient().data()),
        batch(static_cast<int>(op.shape.batch)),
        steps(static_cast<int>(op.shape.steps)),
        hidden(static_cast<int>(op.shape.hidden)) {}
};

/// The same with what flows into single steps.
struct RnnStepsBackwardArgs {
  RnnBackwardArgs all;
  StepGradientArgs single;

  explicit RnnStepsBackwardArgs(const RecurrenceBackward<float>& op) : all(op), single(op.d_output) {}
};

}  // namespace reel::cuda
