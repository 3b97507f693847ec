// Checkpoints as safetensors: model.safetensors with PyTorch's names and layouts, and the training state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "host/model/parameters.h"
#include "kernels/contract/head.h"

namespace reel {

/// Metadata's entry for the name of the cell.
inline constexpr const char* kCellOf = "nonlinearity";
/// And for that of the task, which files of a model that classifies may lack.
inline constexpr const char* kTaskOf = "task";

using Metadata = std::map<std::string, std::string>;

/// Writes the tensors of the same model in PyTorch (a bias_hh is zero but for a recurrent bias), float32, with the
/// model's configuration and `metadata` in __metadata__ ("reel_format": "1"; "layers" and "directions" where there are
/// more than one; "task" where it is not to classify).
void save_model(const std::filesystem::path& path, const ModelConfig& config, std::span<const float> parameters,
                const Metadata& metadata);

/// The value `text` of the metadata entry `key`. Throws Error, which begins with `where`, unless it is a whole number
/// from `least` to `most`.
std::int64_t metadata_number(const std::string& where, const std::string& key, const std::string& text,
                             std::int64_t least, std::int64_t most);

struct SavedModel {
  ModelConfig config;
  std::vector<float> parameters;  // flat, see ParameterLayout
  Metadata metadata;
};
/// Throws Error: no such file, not safetensors, a missing tensor, one of a layer or direction that the model lacks,
/// another format version, shapes that disagree.
SavedModel load_model(const std::filesystem::path& path);

/// Takes weights from any safetensors file with PyTorch's names into a model of `config`; its layers, directions and
/// every shape must agree. bias = bias_ih + bias_hh. The metadata of the file, which may have none.
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
