// Words and their ids, as keras.datasets.imdb.load_data numbers them: reserved ids first, then words by rank.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "host/text/corpus.h"

namespace reel {

/// keras.datasets.imdb.load_data's parameters, with its meanings and its order of effects: prepend start_char and add
/// index_from, drop by maxlen, then num_words / skip_top with oov_char. -1 stands for Python's None.
struct LoadOptions {
  std::int32_t num_words = -1;  // ids >= num_words (shifted) are out of vocabulary
  std::int32_t skip_top = 0;    // ids < skip_top (shifted) are out of vocabulary
  std::int64_t maxlen = -1;     // reviews whose length (start token included) is >= maxlen are dropped
  std::int32_t start_char = 1;  // -1: no start token
  std::int32_t oov_char = 2;    // -1: out-of-vocabulary tokens are left out
  std::int32_t index_from = 3;  // rank r has id r + index_from
};

/// Whether load_data keeps a review of these words: maxlen drops long ones.
bool is_kept(std::span<const std::int32_t> ranks, const LoadOptions& options);

/// Whether a rank has an id of its own.
bool is_known(std::int32_t rank, const LoadOptions& options);

/// Ids of one review of ranks, in load_data's order of effects. False when maxlen drops it.
bool encode_ranks(std::span<const std::int32_t> ranks, const LoadOptions& options, std::vector<std::int32_t>& ids);

/// How many ids there are: num_words, or fewer where the corpus has no more words; at least the reserved ids.
std::int64_t vocabulary_size(const Corpus& corpus, const LoadOptions& options);

/// Lines `word<TAB>count`: vocab.txt, and a prepared folder's words.
struct WordCounts {
  std::vector<std::string> words;  // a word may be empty: a rank without a known word
  std::vector<std::int64_t> counts;
};
/// What such a text says; `where` is its path. Throws Error with path and line number where a line is something else.
WordCounts parse_word_counts(std::string_view text, const std::string& where);
/// What the text shall say. `words` may be empty: then every word is.
std::string word_counts_text(const std::vector<std::string>& words, const std::vector<std::int64_t>& counts);

/// Whether a line of vocab.txt is a word, not one of the names that ids without words have.
bool is_word(std::string_view text);

/// vocab.txt: line i (from 0) is `word<TAB>count` of id i; ids below the first word are reserved (<pad>, <start>,
/// <unk>, <reserved-N>), and those of ranks without words are <rank-N>.
class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(const Corpus& corpus, const LoadOptions& options);
  static Vocabulary read(const std::filesystem::path& path, const LoadOptions& options);
  std::string text() const;
  void write(const std::filesystem::path& path) const;

  std::int64_t size() const { return static_cast<std::int64_t>(words_.size()); }
  const std::string& word(std::int64_t id) const { return words_.at(static_cast<std::size_t>(id)); }
  std::int64_t count(std::int64_t id) const { return counts_.at(static_cast<std::size_t>(id)); }
  std::span<const std::int64_t> counts() const { return counts_; }  // by id
  /// How ranks become ids of this vocabulary: those beyond it are unknown.
  LoadOptions options() const;

  /// Whether it was made of words, not of ranks alone.
  bool has_words() const { return !ids_.empty(); }
  /// The id of a word, -1 when it has none.
  std::int32_t id(const std::string& word) const;

  /// Raw text to ids: tokenised, start token prepended, unknown words as oov_char. Throws Error when the source had
  /// ranks only.
  std::vector<std::int32_t> encode(std::string_view text) const;

 private:
  /// Throws Error, which begins with `where`, when a word has two ids.
  void index_words(const std::string& where);

  LoadOptions options_;
  std::vector<std::string> words_;
  std::vector<std::int64_t> counts_;
  std::unordered_map<std::string, std::int32_t> ids_;
};

/// Renumbers a corpus so that its words get the ids of `vocabulary`, whatever their ranks were. Where one of them has
/// ranks but no words, the ranks stay, if they count the same words: those of the vocabulary occur in the training
/// reviews as often as they did, and the corpus is the one that the vocabulary is of (`trained_on`, a checksum), or no
/// two of them occur equally often: what is first of those is another in another source. Throws Error if not.
void adopt_vocabulary(Corpus& corpus, const Vocabulary& vocabulary, const std::string& trained_on);

}  // namespace reel
