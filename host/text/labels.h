// What reviews are labelled with: the kind of labels, their names, and the numbers that a model is trained towards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

enum class Task {
  kClassify,    // one of C classes
  kMultiLabel,  // any of C labels
  kRegression,  // a number
};

/// What they are called in flags and files.
inline constexpr std::pair<const char*, Task> kTasks[] = {
    {"classify", Task::kClassify}, {"multi-label", Task::kMultiLabel}, {"regression", Task::kRegression}};
constexpr const char* name_of(Task task) {
  for (const auto& [name, known] : kTasks) {
    if (known == task) return name;
  }
  return "";
}

struct LabelSet {
  Task task = Task::kClassify;
  std::vector<std::string> names = {"neg", "pos"};  // of the C classes or labels; none of a regression

  std::int64_t classes() const { return static_cast<std::int64_t>(names.size()); }  // C
  /// Numbers that a model computes of a review: one of a regression and of two classes, whose number speaks for the
  /// second one; else C.
  std::int64_t outputs() const { return task == Task::kRegression || is_binary() ? 1 : classes(); }
  bool is_binary() const { return task == Task::kClassify && names.size() == 2; }
  bool operator==(const LabelSet&) const = default;
};

/// Numbers by row, where a class a row does not say all: several labels, shares of classes, or what a regression is to
/// find.
struct Targets {
  std::vector<std::int32_t> begin{0};  // [N + 1] of row i there are those of [begin[i], begin[i + 1]), others are 0
  std::vector<std::int32_t> columns;   // of LabelSet::outputs()
  std::vector<float> values;

  bool empty() const { return begin.size() == 1; }
  std::size_t size() const { return begin.size() - 1; }  // N
  void add(std::int32_t column, float value) {
    columns.push_back(column);
    values.push_back(value);
  }
  void end_row() { begin.push_back(static_cast<std::int32_t>(columns.size())); }
  /// Row i of others as the next one.
  void add_row_of(const Targets& others, std::size_t i) {
    for (auto k = static_cast<std::size_t>(others.begin[i]); k < static_cast<std::size_t>(others.begin[i + 1]); ++k) {
      add(others.columns[k], others.values[k]);
    }
    end_row();
  }
  /// Rows [first, first + count) with the zeros between them: [count, outputs].
  std::vector<float> dense(std::size_t first, std::size_t count, std::size_t outputs) const;
  bool operator==(const Targets&) const = default;
};

/// labels.txt: a name a line, in the order of classes; of a regression nothing.
std::string label_names_text(const LabelSet& labels);
/// What such a text says; `where` is its path. Throws Error where a name is empty, or there twice.
std::vector<std::string> parse_label_names(std::string_view text, const std::string& where);

/// Names as a message can show them: the first few, each cut where it is long.
std::string first_few(std::span<const std::string> names);

}  // namespace reel
