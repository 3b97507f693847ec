// Texts to a corpus: tokenises, counts, ranks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "host/text/corpus.h"

namespace reel {

enum class Split { kTrain, kTest };

class CorpusBuilder {
 public:
  /// Adds one review of a class.
  void add(Split split, std::int32_t label, std::string_view text);
  /// Said after add(), of all reviews of a split or of none: row i of `targets` is the review's; how much it counts.
  void add_targets(Split split, const Targets& targets, std::size_t i) {
    reviews(split).targets.add_row_of(targets, i);
  }
  void add_weight(Split split, float weight) { reviews(split).weights.push_back(weight); }

  void set_labels(LabelSet labels) { corpus_.labels = std::move(labels); }

  /// Adds to Corpus::invalid_utf8 what a reader had to repair before it called add().
  void count_invalid_utf8(std::int64_t replaced) { corpus_.invalid_utf8 += replaced; }

  /// Ranks the words by their count in the training split, ties by first appearance there, then those of the test split
  /// alone, and shuffles both splits once. Throws Error when a split has no reviews. The builder is empty afterwards.
  Corpus finish(std::string source, std::string checksum);

 private:
  Reviews& reviews(Split split) { return split == Split::kTrain ? corpus_.train : corpus_.test; }

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
