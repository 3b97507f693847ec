#include "host/cli/trained_model.h"

#include "kernels/check.h"

namespace reel {

TrainedModel load_trained_model(const std::filesystem::path& path) {
  const std::filesystem::path file = std::filesystem::is_directory(path) ? path / "model.safetensors" : path;
  TrainedModel model{.file = file, .saved = load_model(file)};
  model.preprocessing = preprocessing_of(model.saved.metadata, file.string());
  const std::filesystem::path words = file.parent_path() / "vocab.txt";
  model.vocabulary = Vocabulary::read(words, model.preprocessing.load);
  if (model.vocabulary.size() != model.saved.config.vocabulary) {
    fail("{}: {} words, but the embedding table of {} has {} rows", words.string(), model.vocabulary.size(),
         file.string(), model.saved.config.vocabulary);
  }
  return model;
}

Classifier<float> make_classifier(Backend<float>& backend, const TrainedModel& model, std::int64_t max_batch) {
  Classifier<float> classifier(backend, model.saved.config, max_batch, model.preprocessing.maxlen);
  backend.upload(std::span<const float>(model.saved.parameters), classifier.parameters());
  return classifier;
}

}  // namespace reel
