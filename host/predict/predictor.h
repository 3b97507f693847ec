// Logits of texts, many at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "host/predict/inference.h"
#include "host/predict/trained_model.h"

namespace reel {

/// Collects inputs, and classifies as many at once as it has room for.
class Predictor {
 public:
  static constexpr std::size_t kMostInputs = 256;  // of a batch: the more, the fewer words are projected twice

  /// Takes at most `most` inputs at once, or fewer where the model's states of them take much memory.
  Predictor(TrainedModel trained, Backend<float>& backend, std::size_t most = kMostInputs);

  const TrainedModel& trained() const { return trained_; }

  /// Either texts, or ids of the model's vocabulary, which are taken as they are.
  void add(std::string text) { texts_.push_back(std::move(text)); }
  void add(std::vector<std::int32_t> ids) { batch_.push_back(std::move(ids)); }
  /// No more may be added before run().
  bool is_full() const { return texts_.size() + batch_.size() == room_; }

  /// The logits [N, C] of everything that was added since the last run(), in that order; ids before texts.
  std::vector<float> run();

 private:
  void encode_texts();

  TrainedModel trained_;
  Backend<float>& backend_;
  std::size_t room_;  // rows of a batch
  Model<float> model_;
  Inference<float> inference_{model_};
  std::vector<std::string> texts_;                // not yet ids
  std::vector<std::vector<std::int32_t>> batch_;  // ids
};

}  // namespace reel
