// A corpus: labelled reviews as word ranks, with the words. What every reader produces, and the prepared folder stores.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/text/labels.h"

namespace reel {

/// Reviews of one split, back to back. Ranks count from 1, the most frequent word of the training split; 0 is a word
/// that is not known any more.
struct Reviews {
  std::vector<std::int32_t> ranks;
  std::vector<std::int64_t> begin{0};  // [N + 1] review i is ranks[begin[i] .. begin[i+1])
  std::vector<std::int32_t> labels;  // [N] each one's class, of soft labels the likeliest; 0 where there are no classes
  Targets targets;                   // of N rows, or empty: the labels say all
  std::vector<float> weights;        // [N] how much each counts in training, or empty: 1

  std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
  std::span<const std::int32_t> review(std::int64_t i) const {
    return std::span(ranks).subspan(
        static_cast<std::size_t>(begin[static_cast<std::size_t>(i)]),
        static_cast<std::size_t>(begin[static_cast<std::size_t>(i) + 1] - begin[static_cast<std::size_t>(i)]));
  }
};

struct Corpus {
  std::string source;  // what it was read from, for people
  /// "sha256:..." of the source; joined by '+' of a file with training rows and one with test rows; empty for
  /// generated reviews.
  std::string source_checksum;
  std::vector<std::string> words;    // words[rank - 1]; empty when the source has no word list
  std::vector<std::int64_t> counts;  // occurrences in the training split, like words; never empty
  /// Words of texts that the test split alone has; their ranks follow those of `counts`. No vocabulary that is made of
  /// this corpus holds them, but that of another corpus may.
  std::vector<std::string> test_only_words;
  LabelSet labels;
  Reviews train, test;
  std::int64_t invalid_utf8 = 0;      // byte sequences replaced by U+FFFD while reading
  std::vector<std::string> warnings;  // what people should hear about its labels; no part of a prepared folder
};

/// What of a source to read, and as what.
struct ReadOptions {
  std::optional<Task> task;               // nothing: what the labels are
  std::vector<std::string> text_columns;  // joined by a space; empty: review or text
  std::string label_column;               // empty: sentiment or label
  /// What stands in for those two where they are empty and the source has columns: those that a model was trained with.
  std::vector<std::string> model_text_columns{};
  std::string model_label_column{};
  std::string weight_column;       // of training rows, numbers from 0; empty: every row counts 1
  bool soft_labels = false;        // labels are shares of classes
  std::optional<LabelSet> labels;  // those of a model: a label that is none of them is an error
};

/// Reads any supported source, a file recognised by what is in it, a folder by the names there: aclImdb_v1.tar.gz, an
/// unpacked aclImdb folder, Keras' imdb.npz (with imdb_word_index.json beside it when there is one), rows (CSV, TSV,
/// JSON lines or fastText's lines, plain or packed by gzip, bzip2, xz or Zstandard), a folder with a sub-folder of
/// texts for each label, or a prepared folder. A file of rows holds one split: `path` is a folder with train.* and
/// test.* (or train/LABEL/*.txt and test/LABEL/*.txt), or one file (or train.* alone, or LABEL/*.txt), whose rows then
/// serve as training reviews with `test_path` (or, without it, a fifth of the rows, drawn at random) as test reviews; a
/// `test_path` beside any other source is an error, and so are options that a source cannot use. What labels of rows
/// are: label_reader.h. Text corpora are shuffled once with a fixed seed (an npz and a prepared folder keep their
/// order), so that the last samples are a fair validation split. Throws Error.
Corpus read_corpus(const std::filesystem::path& path, const std::filesystem::path& test_path = {},
                   const ReadOptions& options = {});

/// Reviews of each class, by their likeliest one, or with each label; of a regression nothing.
std::vector<std::int64_t> count_labels(std::span<const std::int32_t> classes, const Targets& targets,
                                       const LabelSet& labels);

/// What the labels are, how many training reviews, those that will validate among them, have each (of many the most
/// frequent), and which have hardly any.
std::string describe_labels(const Corpus& corpus);

/// Whether test reviews of the source with checksum `tested` are training reviews of the source with checksum
/// `trained`, as far as checksums tell: the same rows in another file are others.
bool tests_training_rows(const std::string& tested, const std::string& trained);

/// The built-in generated reviews: `train` + `test` reviews whose sentiment depends on word order and on early
/// negations. Deterministic.
Corpus generate_corpus(std::int64_t train = 12000, std::int64_t test = 3000);

/// Of what write_prepared writes: reviews of two classes as before, and all others. Another one has to be prepared
/// again.
inline constexpr int kPreparedFormat = 5, kPreparedLabelsFormat = 6;

/// Writes the prepared folder, which read_corpus reads in a fraction of a second. Throws Error when it cannot be
/// written, or when another process is writing it.
void write_prepared(const Corpus& corpus, const std::filesystem::path& folder);

/// What people hear while default_corpus() looks for data.
struct DefaultCorpusEvents {
  std::function<void(const std::string& line)> announce;
  std::function<void(std::int64_t received, std::int64_t total)> progress;  // of the download, in bytes; may be empty
};

/// What the rows of a single file are: see read_corpus; to evaluate, all of them test.
enum class SingleFile { kTrainsAndTests, kTests };

/// Where the reviews are published: Maas et al., ACL 2011.
struct PublishedArchive {
  std::string url = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz";
  std::string md5 = "7c2ac02c03563afcf9b574c7e56c153a";
};

/// What leaving out `--data` means: $REEL_DATA, then a prepared folder in the user's cache ($REEL_CACHE,
/// $XDG_CACHE_HOME/reel or ~/.cache/reel), then the published archive (downloaded, checked, prepared into the cache),
/// and if that fails, the generated reviews. Of processes that want it, one downloads and prepares, the others wait.
Corpus default_corpus(const DefaultCorpusEvents& events, SingleFile single = SingleFile::kTrainsAndTests,
                      const ReadOptions& options = {}, const PublishedArchive& published = {});

}  // namespace reel
