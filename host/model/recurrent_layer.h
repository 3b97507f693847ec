// One recurrent layer: the projection of its input, the recurrence, and both on the way back.
#pragma once

#include "host/model/embedding.h"

namespace reel {

template <class Real>
class RecurrentLayer {
 public:
  /// Of the parameters `ids` and up to `rows` distinct rows of input in a batch. Keeps references to the store and the
  /// batch.
  RecurrentLayer(ParameterStore<Real>& store, const Batch& batch, const ParameterLayout::Layer& ids, std::int64_t rows)
      : store_(store), batch_(batch), ids_(ids), hidden_(store.config().hidden) {
    const auto& [B, T] = batch.largest();
    const auto reals = [&](std::int64_t count) { return store.backend().template allocate<Real>(count * hidden_); };
    projected_ = reals(rows);
    h_ = reals((T + 1) * B);
    dz_ = reals(T * B);
    d_projected_ = reals(rows);
  }

  void forward(const LayerInput<Real>& input) {
    const std::span<Real> rows = projected_.first(input.index.capacity() * hidden_);
    project(input.table, input.index.count, input.index.tokens, rows);
    forward({.values = rows, .width = hidden_, .row_of = input.index.row_of}, false);
  }
  /// The same with input that is projected; with `last_only` states between the first and the last need not be written.
  void forward(const IndexedRows<Real>& projected, bool last_only) {
    store_.backend().run(RecurrenceForward<Real>{.cell = store_.config().cell,
                                                 .shape = batch_.sequences(hidden_),
                                                 .lengths = batch_.lengths(),
                                                 .input = projected,
                                                 .w_hh = store_.value(ids_.w_hh),
                                                 .h = states(),
                                                 .last_only = last_only});
  }
  /// Every row of a table [V, E] projected, [V, H], as long as parameters do not change.
  Buffer<Real> project(std::span<const Real> table) const {
    const std::int64_t rows = static_cast<std::int64_t>(table.size()) / store_.layout().parameters[ids_.w_ih].shape[1];
    Buffer<Real> all = store_.backend().template allocate<Real>(rows * hidden_);
    project(table, {}, {}, all.span());
    return all;
  }

  /// [T+1, B, H] of the batch. h[1] has the same address for every batch size, so that h[0], before it, always lies in
  /// memory that is never written: zero.
  std::span<Real> states() {
    const std::int64_t unused = batch_.largest().batch - batch_.shape().batch;
    return h_.first((unused + batch_.positions() + batch_.shape().batch) * hidden_)
        .subspan(static_cast<std::size_t>(unused * hidden_));
  }

  /// Of the forward() of `input` before it. Writes the gradients of the layer's parameters, and of the input's rows to
  /// `d_rows` [room for U, E].
  void backward(const LayerInput<Real>& input, const OutputGradient<Real>& d_output, std::span<Real> d_rows) {
    const auto dz = dz_.first(batch_.positions() * hidden_);
    store_.backend().run(RecurrenceBackward<Real>{.cell = store_.config().cell,
                                                  .shape = batch_.sequences(hidden_),
                                                  .lengths = batch_.lengths(),
                                                  .h = states(),
                                                  .w_hh = store_.value(ids_.w_hh),
                                                  .d_output = d_output,
                                                  .dz = dz,
                                                  .d_w_hh = store_.gradient(ids_.w_hh)});
    store_.backend().run(ProjectionGradient<Real>{.shape = batch_.shape(),
                                                  .index = input.index,
                                                  .d_input = dz,
                                                  .embedding = input.table,
                                                  .w_ih = store_.value(ids_.w_ih),
                                                  .d_projected = d_projected_.first(input.index.capacity() * hidden_),
                                                  .d_embedding = d_rows,
                                                  .d_w_ih = store_.gradient(ids_.w_ih),
                                                  .d_bias = store_.gradient(ids_.bias)});
  }

 private:
  void project(std::span<const Real> table, std::span<const std::int32_t> count, std::span<const std::int32_t> tokens,
               std::span<Real> to) const {
    store_.backend().run(ProjectTokens<Real>{.count = count,
                                             .tokens = tokens,
                                             .embedding = table,
                                             .w_ih = store_.value(ids_.w_ih),
                                             .bias = store_.value(ids_.bias),
                                             .projected = to});
  }

  ParameterStore<Real>& store_;
  const Batch& batch_;
  ParameterLayout::Layer ids_;
  std::int64_t hidden_;
  Buffer<Real> projected_, h_;     // [max distinct, H], [T+1, B, H]
  Buffer<Real> dz_, d_projected_;  // [T, B, H], [max distinct, H]
};

}  // namespace reel
