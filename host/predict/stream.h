// A text that arrives word by word, and what the model makes of it so far.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "host/model/model.h"
#include "host/predict/trained_model.h"

namespace reel {

class Stream {
 public:
  /// Throws Error where the model needs the whole text: of two directions, of pooling but for `last`, or of padding
  /// that is not masked. Keeps a reference to the model.
  Stream(const TrainedModel& trained, Backend<float>& backend);

  /// The logits [C] after one more word (tokenizer.h), or nothing where it leaves no id and there was none before. As
  /// long as a row of the model's has room for the start id and all words, they are those of the whole text so far; the
  /// state goes on after that.
  std::optional<std::vector<float>> next(std::string_view word);

 private:
  void step(std::int32_t id);

  const TrainedModel& trained_;
  Model<float> model_;
  std::size_t start_ids_;  // that stand before a text's own
  std::optional<std::vector<float>> logits_;
};

}  // namespace reel
