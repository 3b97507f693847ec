// Logits of many batches of a model that does not change meanwhile.
#pragma once

#include "host/model/model.h"

namespace reel {

/// Projects per batch until the tokens seen outnumber the vocabulary; then projects the vocabulary once.
template <class Real>
class Inference {
 public:
  explicit Inference(Model<Real>& model) : model_(model) {}

  /// Runs the model's current batch; model.logits() is valid afterwards.
  void run() {
    tokens_ += model_.tokens();
    if (vocabulary_.span().empty() && tokens_ > model_.config().vocabulary) vocabulary_ = model_.project_vocabulary();
    if (vocabulary_.span().empty()) return model_.forward();
    model_.forward(vocabulary_.span());
  }

 private:
  Model<Real>& model_;
  std::int64_t tokens_ = 0;  // of all batches, padding included
  Buffer<Real> vocabulary_;  // [V, H] once it is worth it
};

}  // namespace reel
