// A trained model as eval and predict use it: weights, preprocessing and vocabulary.
#pragma once

#include <filesystem>

#include "host/model/preprocessing.h"
#include "host/predict/readout.h"
#include "host/text/vocabulary.h"

namespace reel {

struct TrainedModel {
  std::filesystem::path file;
  SavedModel saved;
  Preprocessing preprocessing;
  Vocabulary vocabulary;
  LabelSet labels;
  Readout readout;

  /// The checksum of its data; empty where the weights do not say.
  std::string trained_on() const;
};

/// The weights of a run folder, or `path` itself.
std::filesystem::path model_file(const std::filesystem::path& path);

/// `path` is a run folder or its model.safetensors; vocab.txt is expected beside the weights, and labels.txt if the
/// weights name it: else the labels of two classes are 0 and 1. Throws Error.
TrainedModel load_trained_model(const std::filesystem::path& path);

/// How many rows of so many steps to take at once: `most`, or fewer where the model's states of them take much memory
/// (limits.h).
std::int64_t rows_at_once(const TrainedModel& model, std::int64_t most, std::int64_t steps);

}  // namespace reel
