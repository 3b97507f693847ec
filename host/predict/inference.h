// Logits of many batches of a model that does not change meanwhile.
#pragma once

#include <vector>

#include "host/model/model.h"

namespace reel {

/// Projects per batch until the tokens seen outnumber the vocabulary; then projects the vocabulary once, unless the
/// device projects with the recurrence.
template <class Real>
class Inference {
 public:
  explicit Inference(Model<Real>& model) : model_(model) {}

  /// Runs the model's current batch; model.logits() is valid afterwards.
  void run() {
    tokens_ += model_.tokens();
    if (vocabulary_.empty() && tokens_ > model_.config().vocabulary) vocabulary_ = model_.project_vocabulary();
    model_.forward(vocabulary_);
  }

 private:
  Model<Real>& model_;
  std::int64_t tokens_ = 0;               // of all batches, padding included
  std::vector<Buffer<Real>> vocabulary_;  // [V, G*H] of each direction, once it is worth it, or nothing
};

}  // namespace reel
