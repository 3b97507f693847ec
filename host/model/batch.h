// The batch that a model computes on, in backend memory.
#pragma once

#include <cstdint>
#include <span>

#include "host/text/dataset.h"
#include "kernels/backend.h"

namespace reel {

/// A data set in the backend's memory.
struct DeviceDataset {
  std::int64_t steps = 0;        // T
  Buffer<std::int32_t> ids;      // [N, T]
  Buffer<std::int32_t> lengths;  // [N]
  // Of what reviews are labelled with, see Dataset; no labels where there are targets.
  Buffer<std::int32_t> labels;                        // [N] or empty
  Buffer<std::int32_t> target_begin, target_columns;  // [N + 1], or empty
  Buffer<float> target_values;
  Buffer<float> weights;  // [N] or empty

  SparseTargets targets() const {
    return {.begin = target_begin.span(), .columns = target_columns.span(), .values = target_values.span()};
  }
};
DeviceDataset to_device(Device& device, const Dataset& dataset);

/// What varies from batch to batch. Random numbers are named by (seed, step).
struct BatchOptions {
  /// In backend memory, or null: names the step, and which `rows` of those that are given.
  const StepClock* clock = nullptr;
  std::int64_t rows = 0;
  Padding padding = Padding::kNone;
  float word_dropout = 0;
  std::int32_t unknown_id = 2;
  float dropout = 0;
  float embedding_dropout = 0;
  float layer_dropout = 0;
  bool variational = false;  // layer_dropout has one mask for all steps of a row
  std::int64_t bptt = 0;     // steps from a row's end that gradients go back; 0: all
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
};

/// Rows of token ids, with room for `max_batch` x `max_steps`, and what `outputs` numbers of each are trained towards;
/// nothing is allocated after construction.
class Batch {
 public:
  Batch(Device& device, std::int64_t max_batch, std::int64_t max_steps, std::int64_t outputs);

  /// Takes `rows` [B] of the data set (both in backend memory), or B of them where the clock is.
  template <class Real>
  void select(Backend<Real>& backend, const DeviceDataset& data, std::span<const std::int32_t> rows,
              const BatchOptions& options) {
    begin({options.clock == nullptr ? static_cast<std::int64_t>(rows.size()) : options.rows, data.steps}, options);
    has_labels_ = data.labels.size() > 0;
    has_targets_ = data.target_begin.size() > 0;
    has_weights_ = data.weights.size() > 0;
    has_order_ = true;
    backend.run(SelectRows{
        .shape = shape_,
        .data_ids = data.ids.span(),
        .data_lengths = data.lengths.span(),
        .data_labels = data.labels.span(),
        .data_targets = data.targets(),
        .data_weights = data.weights.span(),
        .rows = rows,
        .clock = options.clock,
        .padding = options.padding,
        .word_dropout = options.word_dropout,
        .unknown_id = options.unknown_id,
        .word_dropout_key = {.seed = options.seed, .stream = RandomStream::kWordDropout, .step = options.step},
        .ids = ids_.first(positions()),
        .lengths = lengths_.first(shape_.batch),
        .by_length = room(by_length_, has_order_, 1),
        .labels = room(labels_, has_labels_, 1),
        .targets = room(targets_, has_targets_, outputs_),
        .weights = room(weights_, has_weights_, 1)});
  }
  /// Takes the given reviews: `ids` [B, T] left-aligned, `lengths` [B], in host memory; they have no labels.
  void load(Device& device, std::span<const std::int32_t> ids, std::span<const std::int32_t> lengths,
            const BatchOptions& options);

  const BatchOptions& options() const { return options_; }
  const BatchShape& shape() const { return shape_; }
  SequenceShape sequences(std::int64_t hidden) const { return {shape_.batch, shape_.steps, hidden}; }
  std::int64_t positions() const { return shape_.batch * shape_.steps; }  // padding included
  const BatchShape& largest() const { return largest_; }                  // that there is room for

  std::span<const std::int32_t> ids() const { return ids_.first(positions()); }           // [B, T]
  std::span<const std::int32_t> lengths() const { return lengths_.first(shape_.batch); }  // [B]
  // Of what select() found, else empty: [B], [B], [B, C], [B].
  std::span<const std::int32_t> by_length() const { return room(by_length_, has_order_, 1); }
  std::span<const std::int32_t> labels() const { return room(labels_, has_labels_, 1); }
  std::span<const float> targets() const { return room(targets_, has_targets_, outputs_); }
  std::span<const float> weights() const { return room(weights_, has_weights_, 1); }

 private:
  void begin(const BatchShape& shape, const BatchOptions& options);

  /// `width` numbers of each row, or nothing.
  template <class Buffer>
  auto room(Buffer& buffer, bool given, std::int64_t width) const -> decltype(buffer.first(0)) {
    if (!given) return {};
    return buffer.first(shape_.batch * width);
  }

  BatchShape largest_, shape_;
  BatchOptions options_;
  std::int64_t outputs_;  // C
  bool has_order_ = false, has_labels_ = false, has_targets_ = false, has_weights_ = false;
  Buffer<std::int32_t> ids_, lengths_, by_length_, labels_;
  Buffer<float> targets_, weights_;
};

}  // namespace reel
