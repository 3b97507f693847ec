// The prepared folder: tokens.safetensors, vocabulary.txt (word<TAB>count by rank, those of the test split alone last)
// and prepared.json, written last; `lock` keeps other writers out. prepared.json names the checksum of the words, and
// the tokens that of prepared.json and their own, so that files of two data sets are not taken for one.
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/files/json.h"
#include "host/files/safetensors.h"
#include "host/text/readers.h"
#include "host/text/vocabulary.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

constexpr const char *kTokens = "tokens.safetensors", *kWords = "vocabulary.txt", *kDescription = "prepared.json",
                     *kLock = "lock", *kMark = "reel_prepared", *kSourceChecksum = "source_checksum",
                     *kWordsChecksum = "words_checksum", *kTokensChecksum = "tokens_checksum",
                     *kDescriptionChecksum = "description_checksum", *kTask = "task", *kLabels = "labels",
                     *kTargetBegin = ".target_begin", *kTargetColumns = ".target_columns",
                     *kTargetValues = ".target_values", *kWeights = ".weights";

/// What the tokens say of themselves, and of the prepared.json that they are of.
std::map<std::string, std::string> whose(const std::map<std::string, TensorView>& tokens,
                                         std::string_view description) {
  Checksum sum;
  for (const auto& [name, tensor] : tokens) {
    sum.add({reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()});
  }
  return {{kTokensChecksum, "sha256:" + sum.hex()}, {kDescriptionChecksum, text_sha256(description)}};
}

std::vector<std::int32_t> lengths_of(const Reviews& reviews) {
  std::vector<std::int32_t> lengths;
  for (std::int64_t i = 0; i < reviews.size(); ++i) {
    lengths.push_back(static_cast<std::int32_t>(reviews.review(i).size()));
  }
  return lengths;
}

/// Whether rows are what their task has: one number each, labels that are there once, or shares.
bool are_of_task(const Targets& targets, const LabelSet& labels) {
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const auto first = static_cast<std::size_t>(targets.begin[i]), end = static_cast<std::size_t>(targets.begin[i + 1]);
    if (labels.task == Task::kRegression && end != first + 1) return false;
    for (std::size_t k = first; k < end; ++k) {
      if (targets.columns[k] < 0 || targets.columns[k] >= labels.outputs() || !std::isfinite(targets.values[k]) ||
          (k > first && targets.columns[k] <= targets.columns[k - 1])) {
        return false;
      }
      const float value = targets.values[k];
      if (labels.task == Task::kMultiLabel && value != 1) return false;
      if (labels.task == Task::kClassify && !(value >= 0 && value <= 1)) return false;
    }
  }
  return true;
}

/// What labels alone do not say; row i is that of review i.
Targets read_targets(const SafetensorsFile& file, const std::string& split, std::int64_t reviews,
                     const LabelSet& labels, const std::string& path) {
  Targets targets;
  if (!file.contains(split + kTargetBegin)) return targets;
  const auto begin = file.get<std::int32_t>(split + kTargetBegin, {reviews + 1});
  const auto columns = file.get<std::int32_t>(split + kTargetColumns, {-1});
  const auto values = file.get<float>(split + kTargetValues, {static_cast<std::int64_t>(columns.size())});
  targets.begin.assign(begin.begin(), begin.end());
  targets.columns.assign(columns.begin(), columns.end());
  targets.values.assign(values.begin(), values.end());
  if (begin.front() != 0 || begin.back() != std::ssize(columns) || !std::ranges::is_sorted(begin) ||
      !are_of_task(targets, labels)) {
    fail("{}: targets of {} are none of its reviews and labels", path, split);
  }
  return targets;
}

Reviews read_split(const SafetensorsFile& file, const std::string& split, std::int64_t words, const LabelSet& names,
                   const std::string& path) {
  const auto ranks = file.get<std::int32_t>(split + ".ranks", {-1});
  const auto lengths = file.get<std::int32_t>(split + ".lengths", {-1});
  const auto labels = file.get<std::int32_t>(split + ".labels", {static_cast<std::int64_t>(lengths.size())});
  const auto within = [](std::span<const std::int32_t> numbers, std::int64_t last) {
    return std::ranges::all_of(numbers, [last](std::int32_t n) { return n >= 0 && n <= last; });
  };
  if (!within(ranks, words)) fail("{}: a rank of {} is none of the {} words", path, split, words);
  const std::int64_t last = std::max<std::int64_t>(names.classes() - 1, 0);
  if (!within(labels, last)) fail("{}: a label of {} is none of 0 to {}", path, split, last);
  Reviews reviews{.ranks = {ranks.begin(), ranks.end()}, .labels = {labels.begin(), labels.end()}};
  reviews.targets = read_targets(file, split, reviews.size(), names, path);
  if (reviews.targets.empty() && names.task != Task::kClassify) fail("{}: no targets of {}", path, split);
  if (file.contains(split + kWeights)) {
    const auto weights = file.get<float>(split + kWeights, {reviews.size()});
    const auto is_weight = [](float weight) { return std::isfinite(weight) && weight >= 0; };
    if (!std::ranges::all_of(weights, is_weight)) fail("{}: a weight of {} is no number from 0", path, split);
    reviews.weights.assign(weights.begin(), weights.end());
  }
  for (const std::int32_t length : lengths) {
    if (length < 0) fail("{}: a length of {} is negative", path, split);
    reviews.begin.push_back(reviews.begin.back() + length);
  }
  if (reviews.begin.back() != static_cast<std::int64_t>(ranks.size())) {
    fail("{}: lengths of {} add up to {}, but it has {} tokens", path, split, reviews.begin.back(), ranks.size());
  }
  return reviews;
}

/// What programs that knew nothing else can read too.
bool of_two_classes(const Corpus& corpus) {
  const auto plain = [](const Reviews& reviews) { return reviews.targets.empty() && reviews.weights.empty(); };
  return corpus.labels.is_binary() && plain(corpus.train) && plain(corpus.test);
}

LabelSet read_labels(const JsonValue& description, const std::string& path) {
  LabelSet labels;
  const std::string& task = string_at(description, kTask, path);
  const auto* const known = std::ranges::find(kTasks, task, [](const auto& entry) { return entry.first; });
  if (known == std::end(kTasks)) fail("{}: task '{}', expected classify, multi-label or regression", path, task);
  labels.task = known->second;
  labels.names = parse_label_names(string_at(description, kLabels, path), path + ": labels");
  const std::size_t least = labels.task == Task::kClassify ? 2 : labels.task == Task::kMultiLabel ? 1 : 0;
  if (labels.names.size() < least || (labels.task == Task::kRegression && !labels.names.empty())) {
    fail("{}: {} labels of the task {}", path, labels.names.size(), task);
  }
  return labels;
}

/// Words by rank; all of them empty where the source has no word list. The first `ranked` are of the training split.
void read_words(const fs::path& path, std::string_view text, std::size_t ranked, Corpus& corpus) {
  WordCounts list = parse_word_counts(text, path.string());
  if (ranked > list.words.size()) fail("{}: {} words, expected {} or more", path.string(), list.words.size(), ranked);
  const auto unknown = std::ranges::count(list.words, "");
  if (unknown == 0) {
    const auto end = list.words.begin() + static_cast<std::ptrdiff_t>(ranked);
    corpus.test_only_words.assign(end, list.words.end());
    list.words.erase(end, list.words.end());
    corpus.words = std::move(list.words);
  } else if (unknown != static_cast<std::ptrdiff_t>(list.words.size()) || ranked != list.words.size()) {
    fail("{}: {} lines without a word", path.string(), unknown);
  }
  corpus.counts = std::move(list.counts);
  corpus.counts.resize(ranked);
}

/// Whether write_prepared has written here: all of it, or up to where it was ended, which is its tokens first.
bool is_prepared(const fs::path& folder) {
  const std::string path = (folder / kDescription).string();
  const bool described = is_there(path);
  if (!described && !is_there(folder / kTokens)) return false;
  const std::string text = described ? read_file(path) : std::string();
  try {
    if (described) return parse_json(text, path).find(kMark) != nullptr;
    return SafetensorsFile(folder / kTokens).metadata().contains(kDescriptionChecksum);
  } catch (const Error&) {  // no JSON, or no tensors
    return false;
  }
}

}  // namespace

void write_prepared(const Corpus& corpus, const fs::path& folder) {
  create_folders(folder);
  if (!is_prepared(folder)) {  // what lies there might be data, which nobody would read any more
    for (const std::string& name : names_in(folder)) {
      if (name == kLock || name.find(".tmp-") != name.npos) continue;
      fail("{}: is there already, in no prepared folder", (folder / name).string());
    }
  }
  const FileLock lock(folder / kLock);
  if (!lock.held()) fail("{}: another process is writing it", folder.string());
  if (lock.works()) {
    for (const char* const file : {kTokens, kWords, kDescription}) AtomicFile::remove_abandoned(folder / file);
  }
  const std::vector<std::int32_t> train_lengths = lengths_of(corpus.train), test_lengths = lengths_of(corpus.test);
  const auto view = []<class T>(const std::vector<T>& numbers) {
    return tensor_view(std::span(numbers), {static_cast<std::int64_t>(numbers.size())});
  };
  std::vector<std::string> words = corpus.words;
  std::vector<std::int64_t> counts = corpus.counts;
  words.insert(words.end(), corpus.test_only_words.begin(), corpus.test_only_words.end());
  counts.resize(counts.size() + corpus.test_only_words.size());
  const std::string text = word_counts_text(words, counts);
  AtomicFile tokens(folder / kTokens), list(folder / kWords), about(folder / kDescription);
  std::map<std::string, TensorView> tensors = {
      {"train.ranks", view(corpus.train.ranks)},   {"train.lengths", view(train_lengths)},
      {"train.labels", view(corpus.train.labels)}, {"test.ranks", view(corpus.test.ranks)},
      {"test.lengths", view(test_lengths)},        {"test.labels", view(corpus.test.labels)}};
  for (const auto& [split, reviews] : {std::pair("train", &corpus.train), {"test", &corpus.test}}) {
    if (!reviews->weights.empty()) tensors[std::string(split) + kWeights] = view(reviews->weights);
    if (reviews->targets.empty()) continue;
    tensors[std::string(split) + kTargetBegin] = view(reviews->targets.begin);
    tensors[std::string(split) + kTargetColumns] = view(reviews->targets.columns);
    tensors[std::string(split) + kTargetValues] = view(reviews->targets.values);
  }
  const JsonMembers description = {
      {kMark, of_two_classes(corpus) ? kPreparedFormat : kPreparedLabelsFormat},
      {"source", corpus.source},
      {kSourceChecksum, corpus.source_checksum},
      {kWordsChecksum, text_sha256(text)},
      {"train_reviews", corpus.train.size()},
      {"test_reviews", corpus.test.size()},
      {"words", corpus.counts.size()},
      {kTask, name_of(corpus.labels.task)},
      {kLabels, label_names_text(corpus.labels)},
      {"invalid_utf8", corpus.invalid_utf8},
      {"tokenizer", "lower case; punctuation but the apostrophe is a space; split at spaces"},
      {"ranking", "count in the training reviews, ties by first appearance; then words of the test reviews"}};
  const std::string described = to_json(description, JsonLayout::kIndented) + "\n";
  write_safetensors(tokens, tensors, whose(tensors, described));
  list.write(text);
  about.write(described);
  // What a full disk can refuse comes before the old folder goes; then it is the old one, none for a moment, the new
  // one.
  for (AtomicFile* const file : {&tokens, &list, &about}) file->sync();
  std::error_code error;
  fs::remove(folder / kDescription, error);
  for (AtomicFile* const file : {&tokens, &list, &about}) file->commit();
}

Corpus read_prepared(const fs::path& folder) {
  const std::string path = (folder / kDescription).string();
  const std::string described = read_file(path);
  const JsonValue description = parse_json(described, path);
  const JsonValue* const format = description.find(kMark);
  if (format == nullptr) fail("{}: not a prepared folder", path);
  const auto* const number = format->get_if<std::int64_t>();
  if (number == nullptr || (*number != kPreparedFormat && *number != kPreparedLabelsFormat)) {
    fail("{}: format {}, expected {} or {}: prepare the data again", path, excerpt(*format), kPreparedFormat,
         kPreparedLabelsFormat);
  }
  Corpus corpus;  // one by one: where an initializer of an aggregate throws, GCC 12 destroys its members twice
  corpus.source = printable(string_at(description, "source", path));
  corpus.source_checksum = string_at(description, kSourceChecksum, path);
  corpus.invalid_utf8 = integer_at(description, "invalid_utf8", path);
  const std::int64_t ranked = integer_at(description, "words", path);
  if (ranked < 0) fail("{}: {} words, expected 0 or more", path, ranked);
  if (description.find(kTask) != nullptr) corpus.labels = read_labels(description, path);  // older ones have none
  const SafetensorsFile tokens(folder / kTokens);
  const std::string text = read_file(folder / kWords);
  read_words(folder / kWords, text, static_cast<std::size_t>(ranked), corpus);
  const auto words = static_cast<std::int64_t>(corpus.counts.size() + corpus.test_only_words.size());
  corpus.train = read_split(tokens, "train", words, corpus.labels, (folder / kTokens).string());
  corpus.test = read_split(tokens, "test", words, corpus.labels, (folder / kTokens).string());
  if (tokens.metadata() != whose(tokens.tensors(), described) ||
      text_sha256(text) != string_at(description, kWordsChecksum, path)) {
    fail("{}: its files are not of one data set, or were changed: prepare the data again", folder.string());
  }
  return corpus;
}

}  // namespace reel
