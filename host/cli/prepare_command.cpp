#include <algorithm>
#include <numeric>

#include "host/cli/commands.h"
#include "host/cli/options.h"
#include "host/cli/read_options.h"
#include "host/text/corpus.h"
#include "host/train/progress.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

/// A data set's folder is read as prepared once it holds what is written here, whatever else is in it.
void expect_elsewhere(const fs::path& data, const fs::path& out) {
  std::error_code error;
  const fs::path folder = fs::is_directory(data, error) ? data : data.parent_path().empty() ? "." : data.parent_path();
  if (!fs::equivalent(folder, out, error)) return;
  fail("--out {}: the folder of {}, which would be read as prepared from then on; expected another", out.string(),
       data.string());
}

/// "a 12, b 7" of the classes in this order, the first few.
std::string counts_text(std::span<const std::size_t> classes, const LabelSet& labels,
                        const std::vector<std::int64_t>& counts) {
  constexpr std::size_t kFew = 8, kLetters = 40;
  std::string text;
  for (const std::size_t c : classes.first(std::min(classes.size(), kFew))) {
    text += fmt::format("{}{:.{}} {}", text.empty() ? "" : ", ", labels.names[c], kLetters, counts[c]);
  }
  if (classes.size() > kFew) text += fmt::format(" and {} more", classes.size() - kFew);
  return text;
}

/// What the labels are, how many training reviews have each of the most frequent, and which have hardly any.
std::string describe_labels(const Corpus& corpus) {
  constexpr std::int64_t kRare = 10;
  const LabelSet& labels = corpus.labels;
  if (labels.task == Task::kRegression) {
    const auto [least, most] = std::ranges::minmax(corpus.train.targets.values);
    return fmt::format("{}, from {} to {}", name_of(labels.task), least, most);
  }
  const std::vector<std::int64_t> counts = count_labels(corpus.train, labels);
  std::vector<std::size_t> order(counts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t c) { return counts[c]; });
  std::string text =
      fmt::format("{}, {} {}: {}", name_of(labels.task), labels.classes(),
                  labels.task == Task::kClassify ? "classes" : "labels", counts_text(order, labels, counts));
  const auto rare = std::ranges::find_if(order, [&](std::size_t c) { return counts[c] < kRare; });
  if (rare != order.end()) {
    text += fmt::format("; in fewer than {} training reviews: {}", kRare,
                        counts_text(std::span(rare, order.end()), labels, counts));
  }
  return printable(text);
}

}  // namespace

Command add_prepare_command(CLI::App& app) {
  struct Options {
    fs::path data, test_data, out;
    ReadOptions read;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("prepare", "Read a data set once and write it as a folder that loads at once");
  add_path(*command, "--data", options->data, "PATH", "What reel train --data takes")->required();
  add_path(*command, "--test-data", options->test_data, "PATH",
           "Test reviews where --data is one file of rows, or a folder of train.* alone");
  add_path(*command, "--out", options->out, "DIR",
           "Where to write: tokens.safetensors, vocabulary.txt, prepared.json, lock")
      ->required();
  add_read_options(*command, options->read);
  return [options] {
    expect_elsewhere(options->data, options->out);
    if (!options->test_data.empty()) expect_elsewhere(options->test_data, options->out);
    const Corpus corpus = read_corpus(options->data, options->test_data, options->read);
    write_prepared(corpus, options->out);
    fmt::print("{}: {} training and {} test reviews, {} words; {} invalid UTF-8 sequences replaced\n",
               options->out.string(), corpus.train.size(), corpus.test.size(), corpus.counts.size(),
               corpus.invalid_utf8);
    fmt::print("labels: {}\n", describe_labels(corpus));
    for (const std::string& warning : corpus.warnings) warn(warning);
    return kSuccess;
  };
}

}  // namespace reel
