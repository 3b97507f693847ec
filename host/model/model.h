// The whole model: an embedding, recurrent layers and a head, and its forward and backward pass.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "host/model/batch.h"
#include "host/model/embedding.h"
#include "host/model/head.h"
#include "host/model/parameter_store.h"
#include "host/model/recurrent_layer.h"
#include "host/model/stack.h"
#include "kernels/backend.h"
#include "kernels/check.h"

namespace reel {

/// Owns parameters, gradients and activations for batches of up to `max_batch` x `max_steps`; nothing is allocated
/// after construction, but by project_vocabulary(). What is asked of a forward pass is asked before the next batch is
/// taken.
template <class Real>
class Model {
 public:
  /// Its parameters are those given, or zero.
  Model(Backend<Real>& backend, const ModelConfig& config, std::int64_t max_batch, std::int64_t max_steps,
        std::span<const Real> parameters = {})
      : batch_(backend, max_batch, max_steps, config.outputs),
        store_(backend, config, batch_.largest()),
        embedding_(store_, batch_),
        stack_(store_, batch_),
        head_(store_, batch_) {
    const std::int64_t rows = std::max(embedding_.rows(), stack_.rows());
    for (std::int64_t d = 0; d < config.directions(); ++d) {
      scratch_.emplace_back(backend, config, batch_.largest(), rows);
    }
    for (const std::vector<ParameterLayout::Direction>& directions : store_.layout().layers) {
      layers_.emplace_back(store_, batch_, scratch_, directions);
    }
    if (!parameters.empty()) backend.upload(parameters, store_.values());
  }
  Model(const Model&) = delete;  // its parts refer to each other
  Model& operator=(const Model&) = delete;

  const ModelConfig& config() const { return store_.config(); }
  Backend<Real>& backend() { return store_.backend(); }
  std::int64_t tokens() const { return batch_.positions(); }  // of the current batch, padding included
  std::span<Real> parameters() { return store_.values(); }    // [V*E + D], see ParameterLayout
  std::span<const Real> parameters() const { return store_.values(); }

  // For the optimizer: where rows may lag, and how many of them a batch reads at most.
  ParameterStore<Real>& store() { return store_; }
  std::int64_t most_rows() const { return embedding_.rows(); }

  /// How much rows that have a label count for it, [C] in host memory, of several labels a row.
  void set_positive_weights(std::span<const float> weights) { head_.set_positive_weights(weights); }

  /// Makes `rows` [B] of the data set (both in backend memory) the current batch, or B of them where the options' clock
  /// is. Steps must not exceed max_steps.
  void select(const DeviceDataset& data, std::span<const std::int32_t> rows, const BatchOptions& options) {
    batch_.select(backend(), data, rows, options);
  }
  /// Makes the given reviews the current batch: `ids` [B, T] left-aligned, `lengths` [B], in host memory.
  void load(std::span<const std::int32_t> ids, std::span<const std::int32_t> lengths, const BatchOptions& options) {
    batch_.load(backend(), ids, lengths, options);
  }

  /// Runs the current batch; logits() is valid afterwards.
  void forward() {
    embedding_.forward();
    layers_.front().forward(embedding_.output(), config().has_steps());
    forward_from_second();
  }
  /// The same, of inputs from project_vocabulary(), if there are any: for logits alone, backward() may not follow.
  void forward(const std::vector<Buffer<Real>>& vocabulary) {
    if (vocabulary.empty()) return forward();
    const bool last_only = config().pool == Pool::kLast && layers_.size() == 1;
    std::vector<std::span<const std::int32_t>> row_of;
    for (std::size_t d = 0; d < vocabulary.size(); ++d) row_of.push_back(embedding_.ids(d));
    layers_.front().forward_projected(vocabulary, row_of, last_only);
    forward_from_second();
  }
  std::span<const Real> logits() const { return head_.logits(); }  // [B, C]

  /// From now on a batch, of one row and one step, begins with the states that carry_state() has left, zero at first.
  void keep_state() {
    REEL_CHECK(!config().bidirectional, "state kept of two directions");
    for (RecurrentLayer<Real>& layer : layers_) layer.direction(0).keep_state();
  }
  /// Leaves the states of the batch of the last forward() to the next one.
  void carry_state() {
    for (RecurrentLayer<Real>& layer : layers_) layer.direction(0).carry_state();
  }

  /// Loss and accuracy of the batch of the last forward(), and all gradients. `stats` [1], or with a clock as many as
  /// it has slots for.
  void backward(std::span<BatchStats> stats) {
    head_.backward(stats);
    for (std::size_t l = layers_.size(); l-- > 0;) {
      const bool top = l + 1 == layers_.size();
      if (!top) stack_.backward(l);
      layers_[l].backward(
          input(l), [&](std::size_t d) { return top ? head_.d_states(d) : stack_.d_states(l, d); },
          l == 0 ? gradient().rows : stack_.d_rows(l - 1));
    }
  }
  ParameterGradient<Real> gradient() {
    const TokenIndex& index = embedding_.output().index.forward;
    return {.index = index,
            .embedding = config().embedding,
            .rows = store_.row_gradients(index.capacity()),
            .dense = store_.dense_gradients()};
  }

  /// The first layer's input for every word [V, G*H], of each direction, as long as parameters do not change; nothing
  /// where the device projects it together with the recurrence.
  std::vector<Buffer<Real>> project_vocabulary() {
    std::vector<Buffer<Real>> projected;
    if (backend().projects_input(config().cell)) return projected;
    for (std::size_t d = 0; d < layers_.front().directions(); ++d) {
      projected.push_back(layers_.front().direction(d).project(embedding_.table()));
    }
    return projected;
  }

 private:
  LayerInput<Real> input(std::size_t layer) {
    return layer == 0 ? embedding_.output() : stack_.input_above(layer - 1, layers_[layer - 1]);
  }
  /// The layers above the first, and the head.
  void forward_from_second() {
    stack_.begin();
    for (std::size_t l = 1; l < layers_.size(); ++l) {
      stack_.forward(l - 1, layers_[l - 1]);
      layers_[l].forward(input(l), config().has_steps(static_cast<std::int64_t>(l)));
    }
    head_.forward(layers_.back());
  }

  Batch batch_;
  ParameterStore<Real> store_;
  Embedding<Real> embedding_;
  Stack<Real> stack_;
  std::vector<LayerScratch<Real>> scratch_;  // of each direction
  std::vector<RecurrentLayer<Real>> layers_;
  Head<Real> head_;
};

}  // namespace reel
