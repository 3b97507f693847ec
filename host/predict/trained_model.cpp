#include "host/predict/trained_model.h"

#include <algorithm>

#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {

std::filesystem::path model_file(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error) ? path / "model.safetensors" : path;
}

std::string TrainedModel::trained_on() const {
  const auto found = saved.metadata.find(kTrainedOn);
  return found == saved.metadata.end() ? "" : found->second;
}

namespace {

LabelSet labels_of(const SavedModel& model, const std::filesystem::path& file) {
  LabelSet labels{.task = model.config.task, .names = {}};
  const auto checksum = model.metadata.find(kLabelsOf);
  if (checksum == model.metadata.end()) {
    if (labels.task == Task::kClassify && model.config.outputs == 1) labels.names = {"0", "1"};  // as 0.1.0 wrote it
  } else {
    const std::filesystem::path names = file.parent_path() / "labels.txt";
    const std::string text = read_file(names);
    if (checksum->second != text_crc32(text)) {
      fail("{}: not the labels that {} was trained with", names.string(), file.string());
    }
    labels.names = parse_label_names(text, names.string());
  }
  if (labels.outputs() != model.config.outputs) {
    fail("{}: {} numbers for {} labels", file.string(), model.config.outputs, labels.names.size());
  }
  return labels;
}

}  // namespace

TrainedModel load_trained_model(const std::filesystem::path& path) {
  const std::filesystem::path file = model_file(path);
  TrainedModel model{.file = file, .saved = load_model(file)};
  model.preprocessing = preprocessing_of(model.saved.metadata, file.string());
  const std::filesystem::path words = file.parent_path() / "vocab.txt";
  model.vocabulary = Vocabulary::read(words, model.preprocessing.load);
  if (model.vocabulary.size() != model.saved.config.vocabulary) {
    fail("{}: {} words, but the embedding table of {} has {} rows", words.string(), model.vocabulary.size(),
         file.string(), model.saved.config.vocabulary);
  }
  const auto checksum = model.saved.metadata.find(kWordsOf);
  if (checksum != model.saved.metadata.end() && checksum->second != text_crc32(model.vocabulary.text())) {
    fail("{}: not the words that {} was trained with", words.string(), file.string());
  }
  model.labels = labels_of(model.saved, file);
  model.readout = readout_of(model.saved.metadata, model.saved.config, file.string());
  const LoadOptions& load = model.preprocessing.load;
  const std::int64_t ids = model.saved.config.vocabulary;
  if (load.start_char >= ids || load.oov_char >= ids || load.index_from >= ids) {
    fail("{}: start_char {}, oov_char {} and index_from {} in its metadata, expected ids below {}", file.string(),
         load.start_char, load.oov_char, load.index_from, ids);
  }
  return model;
}

std::int64_t rows_at_once(const TrainedModel& model, std::int64_t most, std::int64_t steps) {
  const ModelConfig& config = model.saved.config;
  const CellTraits& cell = traits(config.cell);
  const std::int64_t above = config.layers - 1, D = config.directions();
  // Of a unit and step: h and what is saved of every layer and direction; of each direction, once for all layers, the
  // gradients of the gates and, where a layer has another's steps as its input, their projection; between two layers
  // the states once more, and what flows back into at most two of those.
  const std::int64_t states = config.layers * D * (1 + cell.saved);
  const std::int64_t gates = D * cell.gates * ((cell.recurrent_bias ? 2 : 1) + (above > 0 ? 1 : 0));
  const std::int64_t between = D * (above + std::min<std::int64_t>(above, 2));
  const std::int64_t values = std::max(steps * config.hidden * (states + gates + between), config.outputs);
  return std::clamp<std::int64_t>(kMaxBatchValues / values, 1, most);
}

}  // namespace reel
