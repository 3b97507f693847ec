#include "host/train/class_weights.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "host/files/lines.h"
#include "host/text/label_index.h"
#include "kernels/check.h"

namespace reel {
namespace {

/// Calls f(class, share) for each class that row i has a share of.
template <class F>
void for_each_class(const LabelSet& labels, const Dataset& rows, std::size_t i, const F& f) {
  if (rows.targets.empty()) return f(static_cast<std::size_t>(rows.labels[i]), 1.0f);
  const Targets& targets = rows.targets;
  float second = 0;
  for (auto k = static_cast<std::size_t>(targets.begin[i]); k < static_cast<std::size_t>(targets.begin[i + 1]); ++k) {
    second = targets.values[k];
    if (!labels.is_binary()) f(static_cast<std::size_t>(targets.columns[k]), targets.values[k]);
  }
  if (!labels.is_binary()) return;
  f(std::size_t{0}, 1 - second);
  f(std::size_t{1}, second);
}

std::string_view without_blanks(std::string_view text) {
  constexpr const char* kBlanks = " \t\r";
  const std::size_t first = std::min(text.find_first_not_of(kBlanks), text.size());
  text.remove_prefix(first);
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

}  // namespace

std::vector<float> balanced_weights(const LabelSet& labels, const Dataset& rows) {
  std::vector<double> counts(labels.names.size());
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows.size()); ++i) {
    for_each_class(labels, rows, i, [&](std::size_t c, float share) { counts[c] += static_cast<double>(share); });
  }
  const auto N = static_cast<double>(rows.size()), C = static_cast<double>(counts.size());
  std::vector<float> weights;
  for (const double n : counts) {
    const double weight = labels.task == Task::kMultiLabel ? (N - n) / n : N / (C * n);
    weights.push_back(n > 0 && weight > 0 ? static_cast<float>(weight) : 1.0f);
  }
  return weights;
}

std::vector<float> parse_class_weights(std::string_view text, const std::string& where, const LabelSet& labels) {
  const LabelIndex index(labels);
  std::vector<std::optional<float>> found(labels.names.size());
  std::size_t number = 0;
  for_each_line(text, [&](std::string_view whole) {
    const std::string at = fmt::format("{}:{}", where, ++number);
    const std::string_view line = without_blanks(whole);
    if (line.empty()) return;
    const std::size_t blank = line.find_last_of(" \t");
    const std::string_view weight = line.substr(blank == std::string_view::npos ? line.size() : blank + 1);
    float value = -1;
    const char* const end = weight.data() + weight.size();
    const bool whole_number = std::from_chars(weight.data(), end, value).ptr == end && !weight.empty();
    if (!whole_number || !std::isfinite(value) || value < 0) {
      fail("{}: expected the name of a label, a blank and its weight, a number from 0", at);
    }
    const std::string_view name = without_blanks(line.substr(0, blank));
    const auto known = index.find(name);
    if (!known) fail("{}: '{}' is none of the {} labels", at, name, labels.names.size());
    std::optional<float>& of = found[static_cast<std::size_t>(*known)];
    if (of) fail("{}: '{}' twice", at, name);
    of = value;
  });
  std::vector<float> weights;
  for (std::size_t c = 0; c < found.size(); ++c) {
    if (!found[c]) {
      fail("{}: {} weights of {} labels: none of '{}'", where,
           std::ranges::count_if(found, [](const auto& weight) { return weight.has_value(); }), found.size(),
           labels.names[c]);
    }
    weights.push_back(*found[c]);
  }
  if (std::ranges::all_of(weights, [](float weight) { return weight == 0; })) fail("{}: all weights are 0", where);
  return weights;
}

void apply_class_weights(const std::vector<float>& weights, const LabelSet& labels, Dataset& rows) {
  if (rows.weights.empty()) rows.weights.assign(static_cast<std::size_t>(rows.size()), 1.0f);
  Targets weighted;
  for (std::size_t i = 0; i < rows.weights.size(); ++i) {
    float sum = 0;
    for_each_class(labels, rows, i, [&](std::size_t c, float share) { sum += weights[c] * share; });
    rows.weights[i] *= sum;
    if (rows.targets.empty()) continue;
    for_each_class(labels, rows, i, [&](std::size_t c, float share) {
      if (labels.is_binary() && c == 0) return;
      weighted.add(labels.is_binary() ? 0 : static_cast<std::int32_t>(c), sum > 0 ? weights[c] * share / sum : share);
    });
    weighted.end_row();
  }
  if (!rows.targets.empty()) rows.targets = std::move(weighted);
}

}  // namespace reel
