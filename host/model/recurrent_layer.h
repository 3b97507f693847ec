// One recurrent layer: the projection of its input, the recurrence, and both on the way back.
#pragma once

#include "host/model/batch.h"
#include "host/model/parameter_store.h"

namespace reel {

/// A layer's input: rows of a table, and which of them each step of a batch reads.
template <class Real>
struct LayerInput {
  std::span<const Real> table;  // [V, E]
  TokenIndex index;
};

template <class Real>
class RecurrentLayer {
 public:
  /// Of up to `max_rows` distinct rows of input in a batch.
  RecurrentLayer(Backend<Real>& backend, const ModelConfig& config, const ParameterLayout::Layer& ids,
                 std::int64_t max_batch, std::int64_t max_steps, std::int64_t max_rows);

  void forward(Backend<Real>& backend, const ParameterStore<Real>& store, const Batch& batch,
               const LayerInput<Real>& input);
  /// Every row of a table [V, E] projected, [V, H], as long as parameters do not change.
  Buffer<Real> project(Backend<Real>& backend, const ParameterStore<Real>& store, std::span<const Real> table) const;
  /// The same with input that is projected; with `last_only` states between the first and the last need not be written.
  void forward(Backend<Real>& backend, const ParameterStore<Real>& store, const Batch& batch,
               const IndexedRows<Real>& projected, bool last_only);

  /// [T+1, B, H] of the batch. h[1] has the same address for every batch size, so that h[0], before it, always lies in
  /// memory that is never written: zero.
  std::span<Real> states(const Batch& batch);

  /// Of the forward() of `input` before it. Writes the gradients of the layer's parameters, and of the input's rows to
  /// `d_rows` [room for U, E].
  void backward(Backend<Real>& backend, ParameterStore<Real>& store, const Batch& batch, const LayerInput<Real>& input,
                const OutputGradient<Real>& d_output, std::span<Real> d_rows);

 private:
  std::span<Real> projected(const TokenIndex& index);

  Cell cell_;
  std::int64_t hidden_;
  ParameterLayout::Layer ids_;
  Buffer<Real> projected_, h_;     // [max_rows, H], [T+1, B, H]
  Buffer<Real> dz_, d_projected_;  // [T, B, H], [max_rows, H]
};

}  // namespace reel
