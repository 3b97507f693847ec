#include "host/train/training_data.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/predict/evaluate.h"
#include "host/train/class_weights.h"
#include "kernels/check.h"

namespace reel {

namespace {

/// How many rows of each class train, where `share` of all validate: of each class as many as its share has whole, and
/// one more of those where most is left over (largest remainder); one row of each class trains.
std::vector<std::int64_t> stratified_rows(std::vector<std::int64_t> counts, double share) {
  const auto all = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  auto missing = static_cast<std::int64_t>(std::ceil(all * share));
  std::vector<std::pair<double, std::size_t>> rest;  // negative, by class
  for (std::size_t c = 0; c < counts.size(); ++c) {
    const double wanted = static_cast<double>(counts[c]) * share, whole = std::floor(wanted);
    const auto taken = std::min(static_cast<std::int64_t>(whole), std::max<std::int64_t>(counts[c] - 1, 0));
    counts[c] -= taken;
    missing -= taken;
    rest.emplace_back(whole - wanted, c);
  }
  std::ranges::sort(rest);
  for (const auto& [fraction, c] : rest) {
    if (missing <= 0 || fraction == 0) break;
    if (counts[c] < 2) continue;
    --counts[c];
    --missing;
  }
  return counts;
}

/// Cuts the last rows off the training reviews: of all, before any shuffling, or of each class.
void split_validation(TrainingData& data, const TrainConfig& config) {
  const std::int64_t N = data.train.size();
  const double share = config.validation_split;
  if (config.validation == ValidationRows::kLast || data.labels.task != Task::kClassify) {
    const auto kept = static_cast<std::int64_t>(std::floor(static_cast<double>(N) * (1 - share)));
    data.validation = slice(data.train, kept, N);
    data.train = slice(data.train, 0, kept);
    return;
  }
  std::vector<std::int64_t> left =
      stratified_rows(count_labels(data.train.labels, data.train.targets, data.labels), share);
  std::vector<std::int32_t> train, validation;
  for (std::int32_t i = 0; i < N; ++i) {
    std::int64_t& rows = left[static_cast<std::size_t>(data.train.labels[static_cast<std::size_t>(i)])];
    (rows-- > 0 ? train : validation).push_back(i);
  }
  data.validation = select(data.train, validation);
  data.train = select(data.train, train);
}

void weigh_classes(TrainingData& data, const std::string& how) {
  if (how.empty()) return;
  if (data.labels.task == Task::kRegression) fail("--class-weights: the labels are numbers, not classes");
  std::vector<float> weights;
  if (how == "balanced") {
    weights = balanced_weights(data.labels, data.train);
  } else {
    const std::string text = read_file(how);
    weights = parse_class_weights(text, how, data.labels);
    data.weights_checksum = text_crc32(text);
  }
  if (data.labels.task == Task::kMultiLabel) {
    data.positive_weights = weights;
  } else {
    apply_class_weights(weights, data.labels, data.train);
  }
}

}  // namespace

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
  data.labels = std::move(corpus.labels);
  if (config.validation_split > 0) {
    split_validation(data, config);
    if (data.validation.size() == 0) fail("{}: --validation-split leaves no reviews to validate with", data.source);
  }
  if (data.train.size() == 0) fail("{}: no training reviews are left", data.source);
  if (data.test.size() == 0) fail("{}: no test reviews are left", data.source);
  weigh_classes(data, config.class_weights);
  if (data.labels.task == Task::kRegression) data.readout = standardise(data.train.targets, data.source);
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
    const std::string line =
        one_label_warning(data.source, data.labels, count_labels(split->labels, split->targets, data.labels), kind);
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
