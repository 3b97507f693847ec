// Texts to a corpus: tokenises, counts, ranks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "host/text/corpus.h"

namespace reel {

enum class Split { kTrain, kTest };

class CorpusBuilder {
 public:
  /// Adds one review; label 0 or 1.
  void add(Split split, std::int32_t label, std::string_view text);

  /// Adds to Corpus::invalid_utf8 what a reader had to repair before it called add().
  void count_invalid_utf8(std::int64_t replaced) { corpus_.invalid_utf8 += replaced; }

  /// Ranks the words by their count in the training split, ties by first appearance there, then those of the test split
  /// alone, and shuffles both splits once. Throws Error when a split has no reviews. The builder is empty afterwards.
  Corpus finish(std::string source, std::string checksum);

 private:
  struct Word {
    const std::string* text;
    std::int64_t count = 0;  // in the training split
    std::int64_t first = 0;  // its index among the training split's words
  };
  Corpus corpus_;  // `ranks` hold indices in words_ until finish()
  std::vector<Word> words_;
  std::unordered_map<std::string, std::int32_t> index_of_;
  std::int64_t training_words_ = 0;
};

/// Puts the reviews of a split in a random order that depends on nothing but their number.
void shuffle_reviews(Reviews& reviews, std::uint64_t split);

/// The reviews in another order: result.review(i) is reviews.review(order[i]).
Reviews permute(const Reviews& reviews, std::span<const std::int32_t> order);

}  // namespace reel
