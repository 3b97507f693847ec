// Checkpoints as safetensors: model.safetensors with PyTorch's names and layouts, and the training state.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "host/model/parameters.h"
#include "kernels/contract/head.h"

namespace reel {

using Metadata = std::map<std::string, std::string>;

/// Writes the tensors of the same model in PyTorch (a bias_hh is zero but for a recurrent bias), float32, with the
/// model's configuration and `metadata` in __metadata__ ("reel_format": "1").
void save_model(const std::filesystem::path& path, const ModelConfig& config, std::span<const float> parameters,
                const Metadata& metadata);

struct SavedModel {
  ModelConfig config;
  std::vector<float> parameters;  // flat, see ParameterLayout
  Metadata metadata;
};
/// Throws Error: no such file, not safetensors, a missing tensor, another format version, shapes that disagree.
SavedModel load_model(const std::filesystem::path& path);

/// Takes weights from any safetensors file with PyTorch's names into a model of `config`; every shape must agree.
/// bias = bias_ih + bias_hh. The metadata of the file, which may have none.
Metadata load_weights(const std::filesystem::path& path, const ModelConfig& config, std::span<float> parameters);

/// Everything that a resumed run needs, in one file, so that it is replaced as a whole.
struct TrainingState {
  std::vector<float> parameters, state1, state2;  // state2 may be empty
  std::vector<BatchStats> measured;               // of steps that no line of metrics.jsonl has yet
  Metadata values;                                // cursor and counters, written by the trainer
};
void save_training_state(const std::filesystem::path& path, const TrainingState& state);
TrainingState load_training_state(const std::filesystem::path& path);

}  // namespace reel
