#include <algorithm>
#include <functional>
#include <numeric>
#include <span>

#include "host/text/corpus.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr std::size_t kFew = 12;

/// "a 12, b 7" of the classes in this order, the first few.
std::string counts_text(std::span<const std::size_t> classes, const LabelSet& labels,
                        const std::vector<std::int64_t>& counts) {
  constexpr std::size_t kLetters = 40;
  std::string text;
  for (const std::size_t c : classes.first(std::min(classes.size(), kFew))) {
    text += fmt::format("{}{:.{}} {}", text.empty() ? "" : ", ", labels.names[c], kLetters, counts[c]);
  }
  if (classes.size() > kFew) text += fmt::format(" and {} more", classes.size() - kFew);
  return text;
}

}  // namespace

std::vector<std::int64_t> count_labels(std::span<const std::int32_t> classes, const Targets& targets,
                                       const LabelSet& labels) {
  std::vector<std::int64_t> counts(labels.names.size());
  if (labels.task == Task::kRegression) return counts;
  const auto numbers = labels.task == Task::kClassify ? classes : std::span<const std::int32_t>(targets.columns);
  for (const std::int32_t number : numbers) {
    ++counts[static_cast<std::size_t>(number)];
  }
  return counts;
}

std::string describe_labels(const Corpus& corpus) {
  constexpr std::int64_t kRare = 10;
  const LabelSet& labels = corpus.labels;
  if (labels.task == Task::kRegression) {
    if (corpus.train.targets.values.empty()) return name_of(labels.task);
    const auto [least, most] = std::ranges::minmax(corpus.train.targets.values);
    return fmt::format("{}, from {} to {}", name_of(labels.task), least, most);
  }
  const std::vector<std::int64_t> counts = count_labels(corpus.train.labels, corpus.train.targets, labels);
  std::vector<std::size_t> order(counts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto count_of = [&](std::size_t c) { return counts[c]; };
  if (order.size() > kFew) std::ranges::stable_sort(order, std::greater(), count_of);
  std::string text =
      fmt::format("{}, {} {}: {}", name_of(labels.task), labels.classes(),
                  labels.task == Task::kClassify ? "classes" : "labels", counts_text(order, labels, counts));
  std::erase_if(order, [&](std::size_t c) { return counts[c] >= kRare; });
  std::ranges::stable_sort(order, std::greater(), count_of);
  if (!order.empty()) {
    text += fmt::format("; in fewer than {} reviews to learn from: {}", kRare, counts_text(order, labels, counts));
  }
  return printable(text);
}

}  // namespace reel
