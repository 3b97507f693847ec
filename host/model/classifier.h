// The model's forward and backward pass as a list of Backend calls: embedding -> RNN -> pool -> dense(1) -> BCE.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "host/model/parameters.h"
#include "host/text/dataset.h"
#include "kernels/backend.h"

namespace reel {

/// A data set in the backend's memory.
struct DeviceDataset {
  std::int64_t reviews = 0;      // N
  std::int64_t steps = 0;        // T
  Buffer<std::int32_t> ids;      // [N, T]
  Buffer<std::int32_t> lengths;  // [N]
  Buffer<std::int32_t> labels;   // [N]
};
template <class Real>
DeviceDataset to_device(Backend<Real>& backend, const Dataset& dataset);

/// What varies from batch to batch. Random numbers are named by (seed, step).
struct BatchOptions {
  Padding padding = Padding::kNone;
  float word_dropout = 0;
  std::int32_t unknown_id = 2;
  float dropout = 0;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
};

/// Owns parameters, gradients and activations for batches of up to `max_batch` x `max_steps`; nothing is allocated
/// after construction.
template <class Real>
class Classifier {
 public:
  Classifier(Backend<Real>& backend, const ModelConfig& config, std::int64_t max_batch, std::int64_t max_steps);

  const ModelConfig& config() const { return config_; }
  std::int64_t tokens() const { return batch_ * steps_; }  // of the current batch, padding included
  Backend<Real>& backend() { return backend_; }
  std::span<Real> parameters() { return parameters_.span(); }  // [V*E + D], see parameter_layout
  std::span<const Real> parameters() const { return parameters_.span(); }

  /// Makes `rows` [B] of the data set (both in backend memory) the current batch. Steps must not exceed max_steps.
  void select(const DeviceDataset& data, std::span<const std::int32_t> rows, const BatchOptions& options);

  /// Makes the given reviews the current batch: `ids` [B, T] left-aligned, `lengths` [B], in host memory.
  void load(std::span<const std::int32_t> ids, std::span<const std::int32_t> lengths, const BatchOptions& options);

  /// Runs the current batch; logits() is valid afterwards.
  void forward();
  /// The same, of inputs from project_vocabulary(): for logits alone, backward() may not follow.
  void forward(std::span<const Real> vocabulary);
  std::span<const Real> logits() const;  // [B]

  /// Loss and accuracy of the current batch, after forward().
  void measure(std::span<BatchStats> stats);
  /// The same and all gradients.
  void backward(std::span<BatchStats> stats);
  ParameterGradient<Real> gradient();

  /// The input of the recurrence for every word [V, H], as long as parameters do not change.
  Buffer<Real> project_vocabulary();

 private:
  BatchShape batch_shape() const { return {batch_, steps_}; }  // of the current batch, as is what follows
  SequenceShape shape() const { return {batch_, steps_, config_.hidden}; }
  TokenIndex index();
  std::span<Real> parameter(std::size_t i);  // of parameter_layout
  std::span<Real> gradient(std::size_t i);   // likewise, dense ones
  void run_recurrence(const IndexedRows<Real>& input, bool last_only);
  /// [T+1, B, H] of the current batch. h[1] stands at the same place for every batch size, so that h[0], before it,
  /// always lies in memory that is never written: zero.
  std::span<Real> states();

  Backend<Real>& backend_;
  ModelConfig config_;
  std::vector<Parameter> layout_;
  std::int64_t max_batch_, max_steps_;
  std::int64_t batch_ = 0, steps_ = 0;
  BatchOptions options_;
  Buffer<Real> parameters_, gradient_;  // [V*E + D], [D]
  Buffer<std::int32_t> ids_, lengths_, labels_;
  Buffer<std::int32_t> count_, tokens_, slot_, row_of_, segment_, position_;
  Buffer<Real> projected_, h_, pooled_, logits_;
  Buffer<Real> d_state_, dz_, d_projected_, d_embedding_;
};

}  // namespace reel
