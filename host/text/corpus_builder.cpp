#include "host/text/corpus_builder.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "host/text/shuffle.h"
#include "host/text/tokenizer.h"
#include "kernels/check.h"
#include "kernels/philox.h"

namespace reel {
void CorpusBuilder::add(Split split, std::int32_t label, std::string_view text) {
  Reviews& added_to = reviews(split);
  std::string key;
  corpus_.invalid_utf8 += for_each_word(text, [&](std::string_view word) {
    key = word;
    const auto [entry, added] = index_of_.try_emplace(key, static_cast<std::int32_t>(words_.size()));
    if (added) words_.push_back({.text = &entry->first});
    if (split == Split::kTrain) {
      Word& counted = words_[static_cast<std::size_t>(entry->second)];
      if (counted.count++ == 0) counted.first = training_words_;
      ++training_words_;
    }
    added_to.ranks.push_back(entry->second);
  });
  added_to.begin.push_back(static_cast<std::int64_t>(added_to.ranks.size()));
  added_to.labels.push_back(label);
}

Corpus CorpusBuilder::finish(std::string source, std::string checksum) {
  if (corpus_.train.size() == 0) fail("{}: no training reviews", source);
  if (corpus_.test.size() == 0) fail("{}: no test reviews", source);
  std::vector<std::size_t> order(words_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::tuple(-words_[i].count, words_[i].first, i); });
  std::vector<std::int32_t> rank(words_.size(), 0);
  for (const std::size_t i : order) {
    if (words_[i].count > 0) {
      corpus_.words.push_back(*words_[i].text);
      corpus_.counts.push_back(words_[i].count);
    } else {
      corpus_.test_only_words.push_back(*words_[i].text);
    }
    rank[i] = static_cast<std::int32_t>(corpus_.words.size() + corpus_.test_only_words.size());
  }
  for (Reviews* split : {&corpus_.train, &corpus_.test}) {
    for (std::int32_t& word : split->ranks) word = rank[static_cast<std::size_t>(word)];
  }
  shuffle_reviews(corpus_.train, 0);
  shuffle_reviews(corpus_.test, 1);
  const bool train = !corpus_.train.ranks.empty(), test = !corpus_.test.ranks.empty();
  if (!train || !test) fail("{}: no word in its {}reviews", source, train ? "test " : test ? "training " : "");
  corpus_.source = std::move(source);
  corpus_.source_checksum = std::move(checksum);
  Corpus corpus = std::move(corpus_);
  *this = {};
  return corpus;
}

Reviews permute(const Reviews& reviews, std::span<const std::int32_t> order) {
  Reviews permuted;
  permuted.ranks.reserve(reviews.ranks.size());
  for (const std::int32_t i : order) {
    const auto review = reviews.review(i);
    permuted.ranks.insert(permuted.ranks.end(), review.begin(), review.end());
    permuted.begin.push_back(static_cast<std::int64_t>(permuted.ranks.size()));
    const auto row = static_cast<std::size_t>(i);
    permuted.labels.push_back(reviews.labels[row]);
    if (!reviews.targets.empty()) permuted.targets.add_row_of(reviews.targets, row);
    if (!reviews.weights.empty()) permuted.weights.push_back(reviews.weights[row]);
  }
  return permuted;
}

void shuffle_reviews(Reviews& reviews, std::uint64_t split) {
  const RandomKey key{.seed = 0, .stream = RandomStream::kCorpusShuffle, .step = split};
  reviews = permute(reviews, random_order(key, reviews.size()));
}

}  // namespace reel
