// Where a run stands, as the metadata of last/state.safetensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/model/checkpoint.h"
#include "host/predict/evaluate.h"

namespace reel {

/// Random numbers are addressed by seed and step, so the step is the whole random state.
struct Cursor {
  std::string config;  // config.toml at that time
  std::string data_checksum;
  std::string weights_checksum;  // see TrainingData
  std::int64_t step = 0, epochs_done = 0, best_epoch = 0, epochs_without_gain = 0;
  std::optional<double> best_score;  // on the validation split: the more the better, so that of a loss is negative
  std::optional<Scores> best_test;
  std::vector<double> epoch_seconds;
  // Of the steps that no line of metrics.jsonl has yet.
  std::int64_t measured_reviews = 0, measured_tokens = 0;
  double measured_seconds = 0;
};

Metadata to_metadata(const Cursor& cursor);
/// Throws Error, which begins with `where`, when something is missing or wrong.
Cursor cursor_of(const Metadata& metadata, const std::string& where);

}  // namespace reel
