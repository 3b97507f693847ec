// What the recurrence's kernels are given: RecurrenceForward and RecurrenceBackward as plain pointers.
#pragma once

#include "kernels/contract/recurrence.h"
#include "kernels/cuda/device.h"

namespace reel::cuda {

struct RnnForwardArgs {
  const std::int32_t* row_of;   // [B, T]
  const std::int32_t* lengths;  // [B]
  const float* input;           // [rows, H]
  const float* w_hh;            // [H, H]
  float* h;                     // [T+1, B, H]
  int batch, steps, hidden;

  explicit RnnForwardArgs(const RecurrenceForward<float>& op)
      : row_of(op.input.row_of.data()),
        lengths(op.lengths.data()),
        input(op.input.values.data()),
        w_hh(op.w_hh.data()),
        h(op.h.data()),
        batch(static_cast<int>(op.shape.batch)),
        steps(static_cast<int>(op.shape.steps)),
        hidden(static_cast<int>(op.shape.hidden)) {}
};

/// The contract's OutputGradient: what flows into the states from above.
struct OutputGradientArgs {
  const float* last;   // [B, H] or null
  const float* every;  // [B, H] or null

  explicit OutputGradientArgs(const OutputGradient<float>& gradient)
      : last(gradient.last.data()), every(gradient.every.data()) {}

  /// Of element i of [B, H]: what its row's last step adds, and what every step does.
  __device__ float last_at(std::size_t i) const { return last != nullptr ? last[i] : 0.0f; }
  __device__ float every_at(std::size_t i) const { return every != nullptr ? every[i] : 0.0f; }
};

struct RnnBackwardArgs {
  const std::int32_t* lengths;  // [B]
  const float* h;               // [T+1, B, H]
  const float* w_hh;            // [H, H]
  OutputGradientArgs d_output;
  float* dz;  // [T, B, H]
  int batch, steps, hidden;

  explicit RnnBackwardArgs(const RecurrenceBackward<float>& op)
      : lengths(op.lengths.data()),
        h(op.h.data()),
        w_hh(op.w_hh.data()),
        d_output(op.d_output),
        dz(op.dz.data()),
        batch(static_cast<int>(op.shape.batch)),
        steps(static_cast<int>(op.shape.steps)),
        hidden(static_cast<int>(op.shape.hidden)) {}
};

}  // namespace reel::cuda
