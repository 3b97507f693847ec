// Writes checkpoints beside the training.
#pragma once

#include <chrono>
#include <filesystem>
#include <future>
#include <utility>

#include "host/model/checkpoint.h"

namespace reel {

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
