#include "host/text/label_index.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr const char* kTwoClass[][2] = {{"0", "1"}, {"neg", "pos"}, {"negative", "positive"}, {"false", "true"}};

bool equal_in_any_case(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower, {},
                            [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
}

}  // namespace

std::optional<double> parse_number(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || rest != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

bool is_quantity(std::string_view text) {
  constexpr double kExact = 1e15;
  const auto number = parse_number(text);
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  const bool is_code = text.size() > 1 && text[0] == '0' && text[1] != '.';
  return number && std::abs(*number) < kExact && !is_code;
}

std::optional<std::int32_t> two_class(std::string_view name) {
  for (const auto& pair : kTwoClass) {
    for (const std::int32_t c : {0, 1}) {
      if (equal_in_any_case(name, pair[c])) return c;
    }
  }
  return {};
}

std::string other_of_two(std::string_view name) {
  for (const auto& pair : kTwoClass) {
    for (const int c : {0, 1}) {
      if (equal_in_any_case(name, pair[c])) return pair[1 - c];
    }
  }
  return "";
}

bool are_two_class(const LabelSet& labels) {
  return labels.is_binary() && two_class(labels.names[0]) == 0 && two_class(labels.names[1]) == 1;
}

LabelIndex::LabelIndex(const LabelSet& labels) : two_class_(are_two_class(labels)) {
  std::size_t numbers = 0;
  for (std::size_t i = 0; i < labels.names.size(); ++i) {
    by_name_.emplace(labels.names[i], static_cast<std::int32_t>(i));
    const auto number = parse_number(labels.names[i]);
    numbers += number.has_value();
    if (is_quantity(labels.names[i])) by_number_.emplace(*number, static_cast<std::int32_t>(i));
  }
  if (numbers != labels.names.size()) by_number_.clear();
}

std::optional<std::int32_t> LabelIndex::find(std::string_view name) const {
  if (const auto found = by_name_.find(name); found != by_name_.end()) return found->second;
  if (two_class_) {
    if (const auto known = two_class(name)) return known;
  }
  if (by_number_.empty() || !is_quantity(name)) return {};
  const auto found = by_number_.find(*parse_number(name));
  if (found == by_number_.end()) return {};
  return found->second;
}

void fail_unknown_label(const std::string& where, std::string_view name, const LabelSet& labels) {
  fail("{}: label '{:.{}}' is none of the model's {} ({})", where, name, kMaxExcerpt, labels.classes(),
       first_few(labels.names));
}

}  // namespace reel
