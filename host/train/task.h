// What a run trains a model for: batches of the data, and scores of its splits.
#pragma once

#include <cstdint>
#include <vector>

#include "host/model/model.h"
#include "host/predict/evaluate.h"
#include "host/train/config.h"
#include "host/train/training_data.h"

namespace reel {

/// Labels of reviews, of any kind.
class ClassificationTask {
 public:
  /// Keeps references to all three.
  ClassificationTask(Backend<float>& backend, const TrainConfig& config, const TrainingData& data);

  std::int64_t steps_per_epoch() const;
  /// Orders the reviews; called before an epoch's first batch (epochs count from 0), and before the first after a
  /// resumption. `step` comes next (counted from 0, over all epochs); what it measures is put into `slot`.
  void begin_epoch(std::int64_t epoch, std::int64_t step, std::int64_t slot);
  /// What is enqueued for each step, or runs again without being enqueued, reads which one it is here.
  const StepClock* clock() const { return clock_.data(); }

  struct BatchSize {
    std::int64_t reviews = 0, tokens = 0;
  };
  /// Of a step's batch.
  BatchSize batch_size(std::int64_t step) const;
  /// Begins the next step, and makes its batch the model's current one; the slots are so many.
  void select(Model<float>& model, std::int64_t reviews, std::int64_t slots);

  Evaluation evaluate(Model<float>& model, const Dataset& split, const Readout& readout) const;
  /// Logits of a split [N, C], of its first rows where they are very many.
  std::vector<float> logits(Model<float>& model, const Dataset& split) const;

 private:
  Backend<float>& backend_;
  const TrainConfig& config_;
  const TrainingData& data_;
  DeviceDataset device_data_;
  std::vector<std::int32_t> order_;  // of the reviews in this epoch; empty before the first
  Buffer<std::int32_t> device_order_;
  Buffer<StepClock> clock_;  // [2] see BeginStep
};

}  // namespace reel
