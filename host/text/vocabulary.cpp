#include "host/text/vocabulary.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "host/files/file.h"
#include "host/files/lines.h"
#include "host/text/tokenizer.h"
#include "kernels/check.h"

namespace reel {
namespace {

std::string reserved_name(std::int64_t id, const LoadOptions& options) {
  if (id == options.start_char) return "<start>";
  if (id == options.oov_char) return "<unk>";
  return id == 0 ? "<pad>" : fmt::format("<reserved-{}>", id);
}

/// Whether an id of this name is of a rank.
bool is_ranked(std::string_view name) { return is_word(name) || name.starts_with("<rank-"); }

/// Whether the vocabulary's words were counted in training reviews like these.
bool counts_alike(const Corpus& corpus, const Vocabulary& vocabulary, const std::string& trained_on) {
  const std::int64_t index_from = vocabulary.options().index_from;
  const bool same_source = !trained_on.empty() && corpus.source_checksum == trained_on;
  for (std::int64_t id = index_from + 1; id < vocabulary.size(); ++id) {
    const auto rank = static_cast<std::size_t>(id - index_from);
    if (rank > corpus.counts.size() && !is_ranked(vocabulary.word(id))) continue;  // up to the largest reserved id
    if (rank > corpus.counts.size() || corpus.counts[rank - 1] != vocabulary.count(id)) return false;
    const bool tied = rank < corpus.counts.size() && corpus.counts[rank] == corpus.counts[rank - 1];
    if (tied && !same_source) return false;
  }
  return true;
}

bool has_id(std::int32_t id, const LoadOptions& options) {
  return id >= options.skip_top && (options.num_words < 0 || id < options.num_words);
}

}  // namespace

WordCounts parse_word_counts(std::string_view text, const std::string& where) {
  WordCounts list;
  for_each_line(text, [&](std::string_view line) {
    const std::size_t tab = line.find('\t');
    std::int64_t count = -1;
    const char* const end = line.data() + line.size();
    const bool whole = tab != std::string_view::npos && std::from_chars(line.data() + tab + 1, end, count).ptr == end;
    if (!whole || count < 0) fail("{}:{}: expected word<TAB>count", where, list.words.size() + 1);
    list.words.emplace_back(line.substr(0, tab));
    list.counts.push_back(count);
  });
  return list;
}

std::string word_counts_text(const std::vector<std::string>& words, const std::vector<std::int64_t>& counts) {
  std::string text;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (!words.empty()) text += words[i];
    text += '\t' + std::to_string(counts[i]) + '\n';
  }
  return text;
}

bool is_word(std::string_view text) {
  const bool numbered = text.starts_with("<reserved-") || text.starts_with("<rank-");
  return !text.empty() && !numbered && text != "<start>" && text != "<unk>" && text != "<pad>";
}

bool is_known(std::int32_t rank, const LoadOptions& options) {
  return rank > 0 && has_id(rank + options.index_from, options);
}

bool is_kept(std::span<const std::int32_t> ranks, const LoadOptions& options) {
  const std::int64_t length = std::ssize(ranks) + (options.start_char >= 0);
  return options.maxlen < 0 || length < options.maxlen;
}

bool encode_ranks(std::span<const std::int32_t> ranks, const LoadOptions& options, std::vector<std::int32_t>& ids) {
  ids.clear();
  if (!is_kept(ranks, options)) return false;
  const auto add = [&](std::int32_t id, bool known) {
    if (known) {
      ids.push_back(id);
    } else if (options.oov_char >= 0) {
      ids.push_back(options.oov_char);
    }
  };
  if (options.start_char >= 0) add(options.start_char, has_id(options.start_char, options));
  for (const std::int32_t rank : ranks) add(rank + options.index_from, is_known(rank, options));
  return true;
}

std::int64_t vocabulary_size(const Corpus& corpus, const LoadOptions& options) {
  const std::int64_t all = static_cast<std::int64_t>(corpus.counts.size()) + options.index_from + 1;
  const std::int64_t reserved = std::max(options.start_char, options.oov_char) + std::int64_t{1};
  return std::max(options.num_words < 0 ? all : std::min<std::int64_t>(all, options.num_words), reserved);
}

Vocabulary::Vocabulary(const Corpus& corpus, const LoadOptions& options) : options_(options) {
  for (std::int64_t id = 0; id < vocabulary_size(corpus, options); ++id) {
    const std::int64_t rank = id - options.index_from;
    const bool known = rank >= 1 && rank <= static_cast<std::int64_t>(corpus.counts.size());
    const auto index = static_cast<std::size_t>(rank - 1);
    counts_.push_back(known ? corpus.counts[index] : 0);
    words_.push_back(!known                 ? reserved_name(id, options)
                     : corpus.words.empty() ? fmt::format("<rank-{}>", rank)
                                            : corpus.words[index]);
  }
  index_words(corpus.source);
}

Vocabulary Vocabulary::read(const std::filesystem::path& path, const LoadOptions& options) {
  Vocabulary vocabulary;
  vocabulary.options_ = options;
  WordCounts list = parse_word_counts(read_file(path), path.string());
  vocabulary.words_ = std::move(list.words);
  vocabulary.counts_ = std::move(list.counts);
  vocabulary.index_words(path.string());
  return vocabulary;
}

void Vocabulary::index_words(const std::string& where) {
  for (std::size_t id = 0; id < words_.size(); ++id) {
    if (!is_word(words_[id])) continue;
    const bool added = ids_.try_emplace(words_[id], static_cast<std::int32_t>(id)).second;
    if (!added) fail("{}: word '{}' twice, as ids {} and {}", where, words_[id], ids_.at(words_[id]), id);
  }
}

std::string Vocabulary::text() const { return word_counts_text(words_, counts_); }

void Vocabulary::write(const std::filesystem::path& path) const { write_file(path, text()); }

std::int32_t Vocabulary::id(const std::string& word) const {
  const auto found = ids_.find(word);
  return found == ids_.end() ? -1 : found->second;
}

LoadOptions Vocabulary::options() const {
  LoadOptions options = options_;
  const auto ids = static_cast<std::int32_t>(size());
  options.num_words = options.num_words < 0 ? ids : std::min(options.num_words, ids);
  return options;
}

void adopt_vocabulary(Corpus& corpus, const Vocabulary& vocabulary, const std::string& trained_on) {
  const std::int32_t index_from = vocabulary.options().index_from;
  const auto for_each_rank = [&](const auto& change) {
    for (Reviews* reviews : {&corpus.train, &corpus.test}) std::ranges::for_each(reviews->ranks, change);
  };
  if (corpus.words.empty() || !vocabulary.has_words()) {
    if (counts_alike(corpus, vocabulary, trained_on)) {
      return for_each_rank([&](std::int32_t& rank) {  // reserved ids may lie where those of the test split alone would
        const std::int64_t id = std::int64_t{rank} + index_from;
        if (id >= vocabulary.size() || !is_ranked(vocabulary.word(id))) rank = 0;
      });
    }
    fail("{}: its words cannot be matched with the model's: {}", corpus.source,
         vocabulary.has_words()
             ? "it has ranks but no words; expected imdb_word_index.json beside it when it was read or prepared"
         : trained_on.empty() ? "the model was trained on ranks without words, by a Reel whose weights do not name "
                                "their data: train again"
                              : "the model was trained on ranks without words (imdb.npz without imdb_word_index.json)");
  }
  std::vector<std::int32_t> rank = {0};
  for (const auto* words : {&corpus.words, &corpus.test_only_words}) {
    for (const std::string& word : *words) {
      rank.push_back(std::max(vocabulary.id(word) - index_from, 0));
    }
  }
  for_each_rank([&](std::int32_t& word) { word = rank[static_cast<std::size_t>(word)]; });
}

std::vector<std::int32_t> Vocabulary::encode(std::string_view text) const {
  if (!has_words()) fail("the vocabulary has ranks but no words (imdb.npz without imdb_word_index.json): give ids");
  std::vector<std::int32_t> ranks, ids;
  std::string key;
  for_each_word(text, [&](std::string_view word) {
    key = word;
    ranks.push_back(std::max(id(key) - options_.index_from, 0));
  });
  LoadOptions options = this->options();
  options.maxlen = -1;  // drops reviews from a data set, not a text that someone asks about
  encode_ranks(ranks, options, ids);
  return ids;
}

}  // namespace reel
