// One direction of a recurrent layer as one operation, where a device projects its input together with the recurrence.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/checks.h"
#include "kernels/contract/projection.h"
#include "kernels/contract/recurrence.h"

namespace reel {

/// ProjectTokens and the RecurrenceForward of what it makes, of cells whose input the device projects_input() itself
/// (kernels/backend.h). Keeps what the way back needs by the address of h; `projected`, which is the recurrence's
/// input, and `saved` stay undefined. final_c requires T = 1.
template <class Real>
struct LayerForward {
  static constexpr const char* kName = "layer_forward";
  ProjectTokens<Real> projection;
  RecurrenceForward<Real> recurrence;
};

/// RecurrenceBackward and the ProjectionGradient of what it makes, of the last LayerForward into the same h. d_input,
/// d_recurrent and d_projected stay undefined. Gradients go back to each row's first step: bptt is 0.
template <class Real>
struct LayerBackward {
  static constexpr const char* kName = "layer_backward";
  RecurrenceBackward<Real> recurrence;
  ProjectionGradient<Real> projection;
};

template <class Real>
void check_arguments(const LayerForward<Real>& op) {
  check_arguments(op.projection);
  check_arguments(op.recurrence);
  check_same(op.projection.width(), op.recurrence.input.width, "projection.bias", "input.width");
  check_same_address(op.projection.projected.data(), op.recurrence.input.values.data(), "projected", "input.values");
  if (!op.recurrence.final_c.empty()) check_number(op.recurrence.shape.steps, 1, "shape.steps beside final_c");
}

template <class Real>
void check_arguments(const LayerBackward<Real>& op) {
  const auto [B, T, H] = op.recurrence.shape;
  check_arguments(op.recurrence);
  check_arguments(op.projection);
  check_count(op.projection.width(), traits(op.recurrence.cell).gates * H, "projection.d_bias");
  check_same(op.projection.shape.batch, B, "projection.shape.batch", "shape.batch");
  check_same(op.projection.shape.steps, T, "projection.shape.steps", "shape.steps");
  check_number(op.recurrence.bptt, 0, "bptt");
  check_same_address(op.projection.d_input.data(), op.recurrence.d_input.data(), "projection.d_input", "d_input");
}

}  // namespace reel
