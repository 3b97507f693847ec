#include "host/text/label_reader.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

using Files = std::span<const LabelledRows* const>;

constexpr double kNearlyAll = 0.9;  // of the rows: numbers, and a mistake

/// Calls f(file, row) for each.
template <class F>
void for_each_row(Files files, const F& f) {
  for (const LabelledRows* const file : files) {
    for (const LabelledRow& row : file->rows) f(*file, row);
  }
}

[[noreturn]] void fail_number(const LabelledRows& file, const LabelledRow& row) {
  fail("{}: label '{:.{}}', expected a number", file.where(row), row.labels.front(), kMaxExcerpt);
}

/// One a row, but of several labels. Nothing else is said of rows without any.
void check_counts(Files files, Task task) {
  if (task == Task::kMultiLabel) return;
  for_each_row(files, [&](const LabelledRows& file, const LabelledRow& row) {
    if (row.labels.empty()) {
      fail("{}: an empty label, expected one: --task multi-label takes it as none", file.where(row));
    }
    if (row.labels.size() > 1 && row.shares.empty()) {
      fail("{}: {} labels, expected one: --task multi-label takes several", file.where(row), row.labels.size());
    }
  });
}

/// Of rows with one label each: whether numbers are a regression; throws Error where all but a few are numbers.
Task task_of_single_labels(Files files) {
  std::size_t all = 0, numbers = 0, two_classes = 0;
  bool whole = true;
  const LabelledRows* other_file = nullptr;
  const LabelledRow* other = nullptr;  // the first that is no number
  for_each_row(files, [&](const LabelledRows& file, const LabelledRow& row) {
    const std::string& label = row.labels.front();
    ++all;
    two_classes += two_class(label).has_value();
    if (const auto number = parse_number(label)) {
      ++numbers;
      whole = whole && std::floor(*number) == *number;
    } else if (other == nullptr) {
      other_file = &file;
      other = &row;
    }
  });
  if (two_classes == all) return Task::kClassify;
  if (other == nullptr) return whole ? Task::kClassify : Task::kRegression;
  if (static_cast<double>(numbers) >= kNearlyAll * static_cast<double>(all)) {
    fail("{}: label '{:.{}}', a number was expected as in {} of {} rows; --task classify takes all as names",
         other_file->where(*other), other->labels.front(), kMaxExcerpt, numbers, all);
  }
  return Task::kClassify;
}

Task task_of(Files files, const ReadOptions& options) {
  if (options.soft_labels) {
    if (options.task && *options.task != Task::kClassify) fail("--soft-labels: expected --task classify beside it");
    return Task::kClassify;
  }
  if (options.task) return *options.task;
  if (std::ranges::any_of(files, [](const LabelledRows* file) { return file->are_lists; })) return Task::kMultiLabel;
  check_counts(files, Task::kClassify);
  return task_of_single_labels(files);
}

/// Different ones, in the order in which they come.
std::vector<std::string> names_met(Files files) {
  std::vector<std::string> names;
  std::unordered_set<std::string_view> known;
  for_each_row(files, [&](const LabelledRows&, const LabelledRow& row) {
    for (const std::string& label : row.labels) {
      if (known.insert(label).second) names.push_back(label);
    }
  });
  return names;
}

std::vector<std::string> two_classes(const std::vector<std::string>& met) {
  std::vector<std::string> names(2);
  for (const std::string& name : met) {
    std::string& known = names[static_cast<std::size_t>(*two_class(name))];
    if (known.empty()) known = name;
  }
  for (const std::size_t c : {0u, 1u}) {
    if (names[c].empty()) names[c] = other_of_two(names[1 - c]);
  }
  return names;
}

std::vector<std::string> sorted(std::vector<std::string> names) {
  if (!std::ranges::all_of(names, [](const std::string& name) { return parse_number(name).has_value(); })) {
    std::ranges::sort(names);
    return names;
  }
  const auto value = [](const std::string& name) { return *parse_number(name); };
  std::ranges::stable_sort(names, {}, value);
  const auto same = [&](const std::string& a, const std::string& b) {
    return is_quantity(a) && is_quantity(b) && value(a) == value(b);
  };
  names.erase(std::unique(names.begin(), names.end(), same), names.end());
  return names;
}

LabelSet labels_of(Files files, const ReadOptions& options) {
  const std::string& path = files.front()->path;
  if (options.labels) {
    const Task task = options.labels->task;
    if (options.task && *options.task != task)
      fail("--task {}: the model's is {}", name_of(*options.task), name_of(task));
    if (options.soft_labels && task != Task::kClassify) fail("--soft-labels: the model's task is {}", name_of(task));
    check_counts(files, task);
    return *options.labels;
  }
  LabelSet labels;
  labels.task = task_of(files, options);
  check_counts(files, labels.task);
  labels.names.clear();
  if (labels.task == Task::kRegression) return labels;
  std::vector<std::string> met = names_met(files);
  if (met.empty()) fail("{}: no label in its rows", path);
  const bool two = std::ranges::all_of(met, [](const std::string& name) { return two_class(name).has_value(); });
  const std::string first = met.front();
  const bool one_class =
      two && std::ranges::all_of(met, [&](const std::string& name) { return two_class(name) == two_class(first); });
  labels.names = two && labels.task == Task::kClassify ? two_classes(met) : sorted(std::move(met));
  if (labels.names.size() > kMaxClasses) {
    fail("{}: {} different labels, expected {} or fewer{}", path, labels.names.size(), kMaxClasses,
         parse_number(labels.names.front()) ? "; --task regression takes numbers as they are" : "");
  }
  if (labels.task == Task::kClassify && (labels.names.size() == 1 || one_class)) {
    std::size_t rows = 0;
    for (const LabelledRows* const file : files) rows += file->rows.size();
    fail("{}: all {} rows have the label '{:.{}}', expected two or more", path, rows, first, kMaxExcerpt);
  }
  return labels;
}

}  // namespace

LabelReader::LabelReader(Files files, const ReadOptions& options)
    : soft_(options.soft_labels), labels_(labels_of(files, options)), index_(labels_) {}

LabelReader::Row LabelReader::read(const LabelledRows& file, const LabelledRow& row) const {
  const std::string where = file.where(row);
  if (soft_) return read_soft(row, where);
  Row numbers;
  if (labels_.task == Task::kClassify) {
    numbers.label = class_of(row.labels.front(), where);
    return numbers;
  }
  if (labels_.task == Task::kRegression) {
    const auto value = parse_number(row.labels.front());
    if (!value || !std::isfinite(static_cast<float>(*value))) fail_number(file, row);
    numbers.targets.add(0, static_cast<float>(*value));
  } else {
    std::vector<std::int32_t> columns;
    for (const std::string& label : row.labels) columns.push_back(class_of(label, where));
    std::ranges::sort(columns);
    columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
    for (const std::int32_t column : columns) numbers.targets.add(column, 1);
  }
  numbers.targets.end_row();
  return numbers;
}

/// The shares add up to 1; of two classes that of the second one is all that there is to say.
LabelReader::Row LabelReader::read_soft(const LabelledRow& row, const std::string& where) const {
  std::vector<double> shares(labels_.names.size());
  double sum = 0;
  for (std::size_t i = 0; i < row.labels.size(); ++i) {
    shares[static_cast<std::size_t>(class_of(row.labels[i], where))] += row.shares[i];
    sum += row.shares[i];
  }
  Row numbers;
  numbers.label = static_cast<std::int32_t>(std::ranges::max_element(shares) - shares.begin());
  for (std::size_t c = labels_.is_binary() ? 1 : 0; c < shares.size(); ++c) {
    if (shares[c] > 0) {
      numbers.targets.add(labels_.is_binary() ? 0 : static_cast<std::int32_t>(c), static_cast<float>(shares[c] / sum));
    }
  }
  numbers.targets.end_row();
  return numbers;
}

std::int32_t LabelReader::class_of(const std::string& name, const std::string& where) const {
  const auto found = index_.find(name);
  if (!found) fail_unknown_label(where, name, labels_);
  return *found;
}

}  // namespace reel
