#include "host/train/training_data.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "host/predict/evaluate.h"
#include "kernels/check.h"

namespace reel {

TrainingData make_training_data(Corpus corpus, const TrainConfig& config) {
  const Preprocessing& how = config.preprocessing;
  if (config.keras_exact) keras_shuffle(corpus);
  Vocabulary vocabulary(corpus, how.load);
  const LoadOptions load = vocabulary.options();
  for (std::int32_t& rank : corpus.test.ranks) {  // of words of the test split alone; reserved ids may lie there
    if (static_cast<std::size_t>(rank) > corpus.counts.size()) rank = 0;
  }
  TrainingData data{.source = corpus.source,
                    .checksum = corpus.source_checksum,
                    .vocabulary = std::move(vocabulary),
                    .train = make_dataset(corpus.train, load, how.maxlen, how.truncating),
                    .test = make_dataset(corpus.test, load, how.maxlen, how.truncating)};
  data.known_tests = known_share(corpus.test, load, how.maxlen, how.truncating, data.vocabulary.counts());
  // Keras: the last samples, before any shuffling.
  const auto kept =
      static_cast<std::int64_t>(std::floor(static_cast<double>(data.train.size()) * (1 - config.validation_split)));
  if (config.validation_split > 0) {
    data.validation = slice(data.train, kept, data.train.size());
    data.train = slice(data.train, 0, kept);
    if (data.validation.size() == 0) fail("{}: --validation-split leaves no reviews to validate with", data.source);
  }
  if (data.train.size() == 0) fail("{}: no training reviews are left", data.source);
  if (data.test.size() == 0) fail("{}: no test reviews are left", data.source);
  return data;
}

bool has_words(const TrainingData& data) {
  return std::ranges::any_of(data.train.ids, [&](std::int32_t id) { return data.vocabulary.count(id) > 0; });
}

std::vector<std::string> check_reviews(const TrainingData& data) {
  std::vector<std::string> lines;
  if (tests_training_rows(data.checksum, data.checksum)) {
    lines.push_back(
        fmt::format("{}: the test reviews are the training reviews: accuracy on them says nothing", data.source));
  }
  if (data.known_tests < kFewWords) {
    lines.push_back(
        fmt::format("{}: {:.1f} % of the test reviews' words have an id, fewer than {:.0f} %: the training "
                    "reviews lack the others, or flags leave them out",
                    data.source, 100 * data.known_tests, 100 * kFewWords));
  }
  const std::pair<const char*, const Dataset*> splits[] = {
      {"training ", &data.train}, {"validation ", &data.validation}, {"test ", &data.test}};
  for (const auto& [kind, split] : splits) {
    const std::string line = one_label_warning(data.source, split->size(), std::ranges::count(split->labels, 1), kind);
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

PaddingCheck check_padding(const Dataset& dataset, const Preprocessing& preprocessing, Pool pool) {
  const PaddingReport report = measure_padding(dataset);
  const bool post = preprocessing.padding == Padding::kPost;
  std::string line =
      fmt::format("padding check: {:.1f} % of the rows {} padding, median {} of {} steps; ", 100 * report.padded_share,
                  post ? "end in" : "begin with", report.median_padding, dataset.steps);
  if (preprocessing.mask) return {.line = line + "masked: the state is carried over it"};
  if (report.padded_share == 0) return {.line = line + "nothing to mask"};
  if (!post) {
    line += "NOT masked: it is read as words before the review; --mask on skips it";
  } else if (pool == Pool::kLast) {
    line +=
        "NOT masked: it is read as words after the review, and washes out the last state: accuracy can stay near "
        "chance; --mask on mends it";
  } else {
    line += "NOT masked: it is read as words after the review, which the pooling takes in; --mask on leaves it out";
  }
  return {.line = line, .warning = true};
}

}  // namespace reel
