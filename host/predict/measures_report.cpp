#include "host/predict/measures_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <numeric>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "host/text/tokenizer.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr std::size_t kMatrixClasses = 12, kAllClasses = 40, kClassesOfAKind = 20, kConfusions = 10;

const std::string& name_of(std::span<const std::string> names, std::int32_t index) {
  return names[static_cast<std::size_t>(index)];
}

void check_names(const Measures& measures, std::span<const std::string> names) {
  REEL_CHECK(names.size() == measures.classes.size(), "{} names of {} classes", names.size(), measures.classes.size());
}

/// The bytes of the character at the front of valid UTF-8, and how many columns it takes.
std::pair<std::size_t, std::size_t> measure_front(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t size = byte(0) < 0x80 ? 1 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : 4;
  char32_t c = size == 1 ? byte(0) : byte(0) & (0x7Fu >> size);
  for (std::size_t i = 1; i < size; ++i) c = c << 6 | (byte(i) & 0x3Fu);
  struct Range {
    char32_t first, last;
    std::size_t columns;
  };
  static constexpr std::array kRanges = {
      Range{0x300, 0x36F, 0},   Range{0x200B, 0x200F, 0}, Range{0xFE00, 0xFE0F, 0},   Range{0x1100, 0x115F, 2},
      Range{0x2E80, 0xA4CF, 2}, Range{0xAC00, 0xD7A3, 2}, Range{0xF900, 0xFAFF, 2},   Range{0xFE30, 0xFE6F, 2},
      Range{0xFF00, 0xFF60, 2}, Range{0xFFE0, 0xFFE6, 2}, Range{0x1F300, 0x1FAFF, 2}, Range{0x20000, 0x3FFFD, 2}};
  const auto found = std::ranges::find_if(kRanges, [&](const Range& r) { return c >= r.first && c <= r.last; });
  return {size, found == kRanges.end() ? 1 : found->columns};
}

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const auto [size, wide] = measure_front(text);
    columns += wide;
    text.remove_prefix(size);
  }
  return columns;
}

std::string shown(std::string name) {
  repair_utf8(name);
  return printable(std::move(name), SIZE_MAX);
}

/// The columns of the longest of these names, but no more than `most`.
std::size_t name_columns(std::span<const std::string> names, std::size_t most) {
  std::size_t columns = 1;
  for (const std::string& name : names) columns = std::max(columns, columns_of(shown(name)));
  return std::min(columns, most);
}

struct ClassTable {
  const Measures& measures;
  std::span<const std::string> names;
  std::size_t name;  // columns

  std::string head() const {
    return fmt::format("{:<{}}  precision  recall      F1    actual  predicted     right\n",
                       measures.multi_label ? "label" : "class", name);
  }
  std::string line(std::size_t index) const {
    const ClassMeasures& c = measures.classes[index];
    return fmt::format("{}  {:>9.4f}  {:>6.4f}  {:>6.4f}  {:>8}  {:>9}  {:>8}\n", in_columns(names[index], name),
                       c.precision(), c.recall(), c.f1(), c.actual, c.predicted, c.right);
  }
  std::string lines(std::span<const std::size_t> indices) const {
    std::string text = head();
    for (const std::size_t index : indices) text += line(index);
    return text;
  }
};

std::string classes_text(const Measures& measures, std::span<const std::string> names, std::size_t columns) {
  constexpr std::size_t kNumbers = 58;  // columns of ClassTable
  const std::string kind = measures.multi_label ? "label" : "class";
  const std::string kinds = measures.multi_label ? "labels" : "classes";
  const std::size_t name = std::max(name_columns(names, columns - kNumbers), kind.size());
  const ClassTable table{.measures = measures, .names = names, .name = name};
  std::vector<std::size_t> order(names.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (names.size() <= kMatrixClasses) return table.lines(order);
  const auto of = [&](std::size_t index) -> const ClassMeasures& { return measures.classes[index]; };
  std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t index) { return of(index).actual; });
  if (names.size() <= kAllClasses) return table.lines(order);
  const std::span<const std::size_t> most = std::span(order).first(kClassesOfAKind);
  const std::span<std::size_t> rest = std::span(order).subspan(kClassesOfAKind);
  std::ranges::stable_sort(rest, {},
                           [&](std::size_t index) { return std::pair(of(index).actual == 0, of(index).f1()); });
  std::string text = fmt::format("the {} {} with the most rows\n{}", kClassesOfAKind, kinds, table.lines(most));
  text += fmt::format("\nof the others the {} with the lowest F1\n{}", kClassesOfAKind,
                      table.lines(rest.first(kClassesOfAKind)));
  const std::size_t left = rest.size() - kClassesOfAKind;
  if (left > 0) text += fmt::format("\n{} {} left out\n", left, left == 1 ? kind : kinds);
  return text;
}

/// "" where the numbers are too long for the columns.
std::string matrix_text(const Measures& measures, std::span<const std::string> names, std::size_t columns) {
  constexpr std::size_t kLeastName = 8, kMostName = 24;
  const std::size_t count = names.size();
  std::vector<std::int64_t> matrix(count * count);
  std::int64_t most = 0;
  for (const Confusion& c : measures.confusion) {
    matrix[static_cast<std::size_t>(c.actual) * count + static_cast<std::size_t>(c.predicted)] = c.rows;
    most = std::max(most, c.rows);
  }
  const std::size_t digits = fmt::formatted_size("{}", most),
                    name = std::max(name_columns(names, kMostName), kLeastName);
  // A column has the class's name where all names fit, else its letter, which stands before the row's name too.
  const std::size_t named = std::max(name_columns(names, columns), digits) + 2;
  const bool letters = name + count * named > columns;
  const std::size_t cell =
      letters ? std::min(std::max<std::size_t>(digits, 3) + 2, (columns - kLeastName - 2) / count) : named;
  if (cell < digits + 1) return "";
  const std::size_t front = letters ? std::min(name, columns - count * cell - 2) : name;
  const auto letter = [](std::size_t index) { return std::string(1, static_cast<char>('a' + index)); };
  std::string text = "actual below, predicted across\n" + std::string(front + (letters ? 2 : 0), ' ');
  for (std::size_t c = 0; c < count; ++c) {
    const std::string head = letters ? letter(c) : shown(names[c]);
    text += std::string(cell - columns_of(head), ' ') + head;
  }
  text += '\n';
  for (std::size_t row = 0; row < count; ++row) {
    if (letters) text += letter(row) + ' ';
    text += in_columns(names[row], front);
    for (std::size_t c = 0; c < count; ++c) text += fmt::format("{:>{}}", matrix[row * count + c], cell);
    text += '\n';
  }
  return text;
}

std::string confusions_text(const Measures& measures, std::span<const std::string> names, std::size_t columns) {
  std::vector<Confusion> wrong;
  std::ranges::copy_if(measures.confusion, std::back_inserter(wrong),
                       [](const Confusion& c) { return c.actual != c.predicted; });
  if (wrong.empty()) return "";
  std::ranges::stable_sort(wrong, std::greater<>(), &Confusion::rows);
  const std::size_t listed = std::min(wrong.size(), kConfusions);
  std::string text = "the most frequent confusions, actual -> predicted\n";
  std::vector<std::string> of_these;
  for (const Confusion& c : std::span(wrong).first(listed)) {
    of_these.push_back(name_of(names, c.actual));
    of_these.push_back(name_of(names, c.predicted));
  }
  constexpr std::size_t kNumbers = 14;  // columns of the arrow and the rows
  const std::size_t name = name_columns(of_these, (columns - kNumbers) / 2);
  for (std::size_t i = 0; i < listed; ++i) {
    text += fmt::format("{} -> {}  {:>8}\n", in_columns(of_these[2 * i], name), in_columns(of_these[2 * i + 1], name),
                        wrong[i].rows);
  }
  return text;
}

}  // namespace

JsonMembers json_members(const Measures& measures, std::span<const std::string> names) {
  check_names(measures, names);
  std::optional<double> low, high;
  if (measures.roc_auc_interval)
    std::tie(low, high) = std::tie(measures.roc_auc_interval->low, measures.roc_auc_interval->high);
  JsonValue::Array classes, confusion;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const ClassMeasures& c = measures.classes[i];
    classes.emplace_back(JsonValue::Object{{"name", names[i]},
                                           {"precision", c.precision()},
                                           {"recall", c.recall()},
                                           {"f1", c.f1()},
                                           {"actual", c.actual},
                                           {"predicted", c.predicted},
                                           {"right", c.right}});
  }
  for (const Confusion& c : measures.confusion) {
    confusion.emplace_back(JsonValue::Object{
        {"actual", name_of(names, c.actual)}, {"predicted", name_of(names, c.predicted)}, {"rows", c.rows}});
  }
  return {{"rows", measures.rows},
          {"accuracy", measures.accuracy},
          {"accuracy_low", measures.accuracy_interval.low},
          {"accuracy_high", measures.accuracy_interval.high},
          {"macro_f1", measures.macro_f1},
          {"micro_f1", measures.micro_f1},
          {"log_loss", measures.log_loss},
          {"roc_auc", json_optional(measures.roc_auc)},
          {"roc_auc_low", json_optional(low)},
          {"roc_auc_high", json_optional(high)},
          {"average_precision", json_optional(measures.average_precision)},
          {"expected_calibration_error", json_optional(measures.expected_calibration_error)},
          {"classes", std::move(classes)},
          {"confusion", measures.multi_label ? JsonValue() : JsonValue(std::move(confusion))}};
}

JsonMembers json_members(const RegressionMeasures& measures) {
  return {{"rows", measures.rows},
          {"mean_squared_error", measures.mean_squared_error},
          {"mean_absolute_error", measures.mean_absolute_error},
          {"r2", json_optional(measures.r2)}};
}

std::string to_text(const Measures& measures, std::span<const std::string> names, std::size_t columns) {
  check_names(measures, names);
  columns = std::max(columns, kMinReportColumns);
  const Interval accuracy = measures.accuracy_interval;
  std::string text = fmt::format("rows               {}\n", measures.rows);
  text += fmt::format("{:<17}  {:.2f} %  (95 % interval {:.2f} to {:.2f})\n",
                      measures.multi_label ? "all labels right" : "accuracy", 100 * measures.accuracy,
                      100 * accuracy.low, 100 * accuracy.high);
  text += fmt::format("macro F1           {:.4f}\n", measures.macro_f1);
  if (measures.multi_label) text += fmt::format("micro F1           {:.4f}\n", measures.micro_f1);
  text += fmt::format("log loss           {:.4f}\n", measures.log_loss);
  if (measures.roc_auc) {
    text += fmt::format("ROC AUC            {:.4f}  (95 % interval {:.4f} to {:.4f})\n", *measures.roc_auc,
                        measures.roc_auc_interval->low, measures.roc_auc_interval->high);
  }
  if (measures.average_precision) text += fmt::format("average precision  {:.4f}\n", *measures.average_precision);
  if (measures.expected_calibration_error) {
    text += fmt::format("calibration error  {:.4f}\n", *measures.expected_calibration_error);
  }
  text += '\n' + classes_text(measures, names, columns);
  std::string mistakes;
  if (!measures.multi_label && names.size() <= kMatrixClasses) mistakes = matrix_text(measures, names, columns);
  if (mistakes.empty()) mistakes = confusions_text(measures, names, columns);
  return mistakes.empty() ? text : text + '\n' + mistakes;
}

std::string to_text(const RegressionMeasures& measures) {
  std::string text = fmt::format("rows                 {}\n", measures.rows);
  text += fmt::format("mean squared error   {:.6g}\n", measures.mean_squared_error);
  text += fmt::format("mean absolute error  {:.6g}\n", measures.mean_absolute_error);
  if (measures.r2) text += fmt::format("R2                   {:.4f}\n", *measures.r2);
  return text;
}

std::string in_columns(const std::string& text, std::size_t columns) {
  const std::string whole = shown(text);
  const std::size_t taken = columns_of(whole);
  if (taken <= columns) return whole + std::string(columns - taken, ' ');
  std::string cut;
  std::size_t used = 0;
  for (std::string_view rest = whole;;) {
    const auto [size, wide] = measure_front(rest);
    if (used + wide + 1 > columns) break;
    cut += rest.substr(0, size);
    used += wide;
    rest.remove_prefix(size);
  }
  return cut + "…" + std::string(columns - used - 1, ' ');
}

}  // namespace reel
