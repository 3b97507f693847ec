// Rows of files and folders to a corpus: their labels, and which of them test.
#include <algorithm>
#include <utility>

#include "host/text/corpus_builder.h"
#include "host/text/label_reader.h"
#include "host/text/readers.h"
#include "host/text/rows.h"
#include "host/text/shuffle.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSplitKey = 2;  // beside those of the splits' own orders
constexpr std::size_t kTestShare = 5;   // one row in five, drawn at random, tests where there is no test file

/// A file, or a folder with a sub-folder a label.
LabelledRows read_rows(const fs::path& path, const ReadOptions& options, bool weighted) {
  std::error_code error;
  return fs::is_directory(path, error) ? read_label_folders(path, options) : read_row_file(path, options, weighted);
}

/// In the order in which some of them train, and the others test.
void draw(LabelledRows& rows) {
  std::vector<LabelledRow> drawn;
  drawn.reserve(rows.rows.size());
  const RandomKey key{.seed = 0, .stream = RandomStream::kCorpusShuffle, .step = kSplitKey};
  for (const std::int32_t i : random_order(key, static_cast<std::int64_t>(rows.rows.size()))) {
    drawn.push_back(std::move(rows.rows[static_cast<std::size_t>(i)]));
  }
  rows.rows = std::move(drawn);
}

/// That test reviews have labels which no training review has: they count as errors.
std::vector<std::string> warnings_of(const Corpus& corpus, const std::string& tests) {
  if (corpus.labels.task == Task::kClassify && !corpus.train.targets.empty()) return {};  // shares
  const std::vector<std::int64_t> train = count_labels(corpus.train.labels, corpus.train.targets, corpus.labels);
  const std::vector<std::int64_t> test = count_labels(corpus.test.labels, corpus.test.targets, corpus.labels);
  constexpr std::size_t kNamed = 3, kLetters = 40;
  std::size_t untrained = 0;
  std::string names;
  for (std::size_t i = 0; i < train.size(); ++i) {
    if (train[i] > 0 || test[i] == 0 || ++untrained > kNamed) continue;
    names += fmt::format("{}'{:.{}}' ({} row{})", names.empty() ? "" : ", ", corpus.labels.names[i], kLetters, test[i],
                         test[i] == 1 ? "" : "s");
  }
  if (untrained == 0) return {};
  if (untrained > kNamed) names += fmt::format(" and {} more", untrained - kNamed);
  return {fmt::format("{}: label{} {} {} in no training row", tests, untrained == 1 ? "" : "s", names,
                      untrained == 1 ? "is" : "are")};
}

class RowsToCorpus {
 public:
  RowsToCorpus(const LabelReader& labels, bool weighted) : labels_(labels), weighted_(weighted) {
    builder_.set_labels(labels.labels());
  }

  void add(Split split, const LabelledRows& file, std::span<const LabelledRow> rows) {
    for (const LabelledRow& row : rows) {
      const LabelReader::Row numbers = labels_.read(file, row);
      builder_.add(split, numbers.label, row.text);
      if (!numbers.targets.empty()) builder_.add_targets(split, numbers.targets, 0);
      if (weighted_ && split == Split::kTrain) builder_.add_weight(split, row.weight);
    }
  }

  Corpus finish(const LabelledRows& train, const LabelledRows* test) {
    builder_.count_invalid_utf8(train.invalid_utf8 + (test != nullptr ? test->invalid_utf8 : 0));
    Corpus corpus = builder_.finish(train.path, train.checksum + (test != nullptr ? "+" + test->checksum : ""));
    const std::vector<float>& weights = corpus.train.weights;
    if (weighted_ && std::ranges::all_of(weights, [](float weight) { return weight == 0; })) {
      fail("{}: all training rows have the weight 0", train.path);
    }
    return corpus;
  }

 private:
  const LabelReader& labels_;
  bool weighted_;
  CorpusBuilder builder_;
};

}  // namespace

Corpus read_labelled_rows(const fs::path& train_path, const fs::path& test_path, const ReadOptions& options) {
  const bool weighted = !options.weight_column.empty();
  LabelledRows train = read_rows(train_path, options, weighted), test;
  std::vector<const LabelledRows*> files = {&train};
  if (!test_path.empty()) {
    test = read_rows(test_path, options, false);
    files.push_back(&test);
  } else if (train.rows.size() == 1) {
    fail("{}: one review, expected more: a fifth of them test", train.path);
  }
  const LabelReader labels(files, options);
  RowsToCorpus to_corpus(labels, weighted);
  if (test_path.empty()) {
    draw(train);
    const std::size_t kept = train.rows.size() - (train.rows.size() + kTestShare - 1) / kTestShare;
    to_corpus.add(Split::kTrain, train, std::span(train.rows).first(kept));
    to_corpus.add(Split::kTest, train, std::span(train.rows).subspan(kept));
  } else {
    to_corpus.add(Split::kTrain, train, train.rows);
    to_corpus.add(Split::kTest, test, test.rows);
  }
  Corpus corpus = to_corpus.finish(train, test_path.empty() ? nullptr : &test);
  if (!options.labels) corpus.warnings = warnings_of(corpus, test_path.empty() ? train.path : test.path);
  return corpus;
}

}  // namespace reel
