// Where a run stands: last/state.safetensors, and whether a run may go on from it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/model/checkpoint.h"
#include "host/predict/evaluate.h"
#include "host/train/config.h"
#include "host/train/run_folder.h"
#include "host/train/training_data.h"

namespace reel {

/// Random numbers are addressed by seed and step, so the step is the whole random state.
struct Cursor {
  std::string config;  // config.toml at that time
  std::string data_checksum;
  std::int64_t step = 0, epochs_done = 0, best_epoch = 0, epochs_without_gain = 0;
  double best_accuracy = -1;  // on the validation split
  std::optional<Evaluation> best_test;
  std::vector<double> epoch_seconds;
  // Of the steps that no line of metrics.jsonl has yet.
  std::int64_t measured_reviews = 0, measured_tokens = 0;
  double measured_seconds = 0;
};

/// As the metadata of a training state.
Metadata to_metadata(const Cursor& cursor);
/// Throws Error, which begins with `where`, when something is missing or wrong.
Cursor cursor_of(const Metadata& metadata, const std::string& where);

/// Throws Error where the state is of other flags, data or words than the run has now, or of counts that such a run
/// cannot have. `steps_per_epoch` is that of the data.
void check_resumable(const TrainingState& state, const Cursor& cursor, const RunFolder& folder,
                     const TrainConfig& config, const TrainingData& data, std::int64_t steps_per_epoch);

/// One file, written by a thread of its own, the latest state last. Errors of writing are thrown by the next call.
class CheckpointWriter {
 public:
  explicit CheckpointWriter(std::filesystem::path path) : path_(std::move(path)) {}

  /// Returns at once, unless the state before is still being written.
  void start(TrainingState state) {
    finish();
    writing_ =
        std::async(std::launch::async, [path = path_, state = std::move(state)] { save_training_state(path, state); });
  }
  /// Waits until the file is written.
  void finish() {
    if (writing_.valid()) writing_.get();
  }
  /// Throws what went wrong, if the file is done by now.
  void check() {
    if (writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) finish();
  }

 private:
  std::filesystem::path path_;
  std::future<void> writing_;
};

}  // namespace reel
