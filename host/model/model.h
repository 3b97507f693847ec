// The whole model: an embedding, recurrent layers and a head, and its forward and backward pass.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/model/batch.h"
#include "host/model/embedding.h"
#include "host/model/head.h"
#include "host/model/parameter_store.h"
#include "host/model/recurrent_layer.h"
#include "kernels/backend.h"

namespace reel {

/// Owns parameters, gradients and activations for batches of up to `max_batch` x `max_steps`; nothing is allocated
/// after construction.
template <class Real>
class Model {
 public:
  Model(Backend<Real>& backend, const ModelConfig& config, std::int64_t max_batch, std::int64_t max_steps);

  const ModelConfig& config() const { return config_; }
  std::int64_t tokens() const { return batch_.positions(); }  // of the current batch, padding included
  Backend<Real>& backend() { return backend_; }
  std::span<Real> parameters() { return store_.values(); }  // [V*E + D], see ParameterLayout
  std::span<const Real> parameters() const { return store_.values(); }

  /// Makes `rows` [B] of the data set (both in backend memory) the current batch. Steps must not exceed max_steps.
  void select(const DeviceDataset& data, std::span<const std::int32_t> rows, const BatchOptions& options);
  /// Makes the given reviews the current batch: `ids` [B, T] left-aligned, `lengths` [B], in host memory.
  void load(std::span<const std::int32_t> ids, std::span<const std::int32_t> lengths, const BatchOptions& options);

  /// Runs the current batch; logits() is valid afterwards.
  void forward();
  /// The same, of inputs from project_vocabulary(): for logits alone, backward() may not follow.
  void forward(std::span<const Real> vocabulary);
  std::span<const Real> logits() const { return head_.logits(batch_); }  // [B]

  /// Loss and accuracy of the current batch, after forward().
  void measure(std::span<BatchStats> stats);
  /// The same and all gradients.
  void backward(std::span<BatchStats> stats);
  ParameterGradient<Real> gradient();

  /// The first layer's input for every word [V, H], as long as parameters do not change.
  Buffer<Real> project_vocabulary();

 private:
  LayerInput<Real> words();  // of the current batch

  Backend<Real>& backend_;
  ModelConfig config_;
  ParameterStore<Real> store_;
  Batch batch_;
  Embedding<Real> embedding_;
  std::vector<RecurrentLayer<Real>> layers_;
  Head<Real> head_;
};

}  // namespace reel
