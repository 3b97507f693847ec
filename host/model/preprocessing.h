// How reviews become rows, kept with the model so that evaluation and prediction do the same.
#pragma once

#include <cstdint>

#include "host/model/checkpoint.h"
#include "host/text/dataset.h"

namespace reel {

struct Preprocessing {
  LoadOptions load{.num_words = 10000};
  std::int64_t maxlen = 200;  // steps of a row: pad_sequences' maxlen
  Padding padding = Padding::kPost;
  Truncating truncating = Truncating::kPre;
  bool mask = true;  // the state is carried over padding

  /// What a batch is filled up with: nothing when padding is masked.
  Padding batch_padding() const { return mask ? Padding::kNone : padding; }
};

/// Entries of a trained model's metadata that older ones lack: the checksums of its data (Corpus::source_checksum), of
/// vocab.txt and of labels.txt.
inline constexpr const char *kTrainedOn = "trained_on", *kWordsOf = "vocabulary", *kLabelsOf = "labels";
/// And those of the columns that it was trained on, where flags named them; of several texts with commas between them.
inline constexpr const char *kTextColumns = "text_columns", *kLabelColumn = "label_column";

Metadata to_metadata(const Preprocessing& preprocessing);
/// Throws Error, which begins with `where`, when an entry is missing or wrong.
Preprocessing preprocessing_of(const Metadata& metadata, const std::string& where);

}  // namespace reel
