// Between recurrent layers: the states of each as the input of the next.
#pragma once

#include <algorithm>
#include <vector>

#include "host/model/recurrent_layer.h"

namespace reel {

template <class Real>
class Stack {
 public:
  /// Keeps references to both.
  Stack(ParameterStore<Real>& store, const Batch& batch)
      : store_(store), batch_(batch), width_(store.config().output_width()) {
    const std::int64_t boundaries = store.config().layers - 1, rows = this->rows();
    if (boundaries == 0) return;
    memory_ = IndexMemory(store.backend(), batch.largest(), rows, store.config().bidirectional);
    const auto reals = [&] { return store.backend().template allocate<Real>(rows * width_); };
    for (std::int64_t below = 0; below < boundaries; ++below) rows_.push_back(reals());
    for (std::int64_t i = 0; i < std::min<std::int64_t>(boundaries, 2); ++i) d_rows_.push_back(reals());
  }

  /// The most rows that the input of a layer above another has: the steps of the largest batch.
  std::int64_t rows() const {
    return store_.config().layers == 1 ? 0 : batch_.largest().batch * batch_.largest().steps;
  }

  /// Indexes the batch's steps, once for all layers.
  void begin() {
    if (rows_.empty()) return;
    const TokenIndex index = memory_.room(batch_.shape(), batch_.positions());
    store_.backend().run(IndexSteps{.shape = batch_.shape(), .lengths = batch_.lengths(), .index = index});
    index_ = memory_.directed(store_.backend(), batch_, index);
  }

  /// The input of the layer above `below`, whose states it has to have by then.
  LayerInput<Real> input_above(std::size_t below, RecurrentLayer<Real>& layer) {
    if (!copies()) {
      const std::int64_t B = batch_.shape().batch;
      return {.table = layer.states(0).subspan(static_cast<std::size_t>(B * width_)), .index = index_};
    }
    return {.table = rows_[below].first(batch_.positions() * width_), .index = index_};
  }
  /// Makes that input.
  void forward(std::size_t below, RecurrentLayer<Real>& layer) {
    if (!copies()) return;
    store_.backend().run(StackStates<Real>{.shape = batch_.sequences(store_.config().hidden),
                                           .lengths = batch_.lengths(),
                                           .h = layer.states(0),
                                           .h_reverse = layer.states(1),
                                           .dropout = dropout(below),
                                           .rows = rows_[below].first(batch_.positions() * width_)});
  }
  /// Where the layer above `below` writes its input's gradient.
  std::span<Real> d_rows(std::size_t below) {
    return d_rows_[below % d_rows_.size()].first(batch_.positions() * width_);
  }
  /// Takes d_rows() back through dropout.
  void backward(std::size_t below) {
    if (batch_.options().layer_dropout <= 0) return;
    store_.backend().run(StackGradient<Real>{.shape = batch_.shape(),
                                             .count = index_.forward.count,
                                             .tokens = index_.forward.tokens,
                                             .width = width_,
                                             .dropout = dropout(below),
                                             .d_rows = d_rows(below)});
  }
  /// What of d_rows() flows back into the states of a direction of the layer below, after backward().
  OutputGradient<Real> d_states(std::size_t below, std::size_t direction) {
    return {.above = {.values = d_rows(below), .width = width_, .row_of = index_.of(direction).row_of},
            .column = static_cast<std::int64_t>(direction) * store_.config().hidden};
  }

 private:
  /// Whether an input differs from the states below it.
  bool copies() const { return store_.config().bidirectional || batch_.options().layer_dropout > 0; }
  LayerDropout dropout(std::size_t below) const {
    const BatchOptions& options = batch_.options();
    return {.rate = options.layer_dropout,
            .variational = options.variational,
            .layer = static_cast<std::int64_t>(below),
            .key = {.seed = options.seed, .stream = RandomStream::kLayerDropout, .step = options.step},
            .clock = options.clock};
  }

  ParameterStore<Real>& store_;
  const Batch& batch_;
  std::int64_t width_;  // D*H
  IndexMemory memory_;
  DirectedIndex index_;
  std::vector<Buffer<Real>> rows_;    // [T, B, D*H] of each layer but the first
  std::vector<Buffer<Real>> d_rows_;  // the same, two in turn: a layer reads that above it and writes that below
};

}  // namespace reel
