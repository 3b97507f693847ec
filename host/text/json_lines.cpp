// JSON lines: an object a line.
#include <cmath>
#include <utility>

#include "host/files/json.h"
#include "host/files/limits.h"
#include "host/files/lines.h"
#include "host/text/rows.h"
#include "host/text/tokenizer.h"
#include "kernels/check.h"

namespace reel {
namespace {

/// The member with one of these keys.
const JsonValue& member(const JsonValue& row, const std::vector<std::string>& keys, const std::string& where) {
  const std::string* found = nullptr;
  for (const std::string& key : keys) {
    if (row.find(key) == nullptr) continue;
    if (found != nullptr) fail("{}: '{}' beside '{}', expected one of them", where, key, *found);
    found = &key;
  }
  if (found != nullptr) return *row.find(*found);
  std::vector<std::string> there;
  if (const auto* const object = row.get_if<JsonValue::Object>()) {
    for (const auto& [key, value] : *object) there.push_back(key);
  }
  fail("{}: expected an object with the key {}, found {}", where, any_of(keys),
       there.empty() ? "none" : first_few(there));
}

std::string text_of(const JsonValue& row, const ReadOptions& options, const std::string& where) {
  std::string text;
  const auto add = [&](const std::vector<std::string>& keys) {
    const JsonValue& value = member(row, keys, where);
    const auto* const string = value.get_if<std::string>();
    if (string == nullptr) fail("{}: expected a string as {}, found {}", where, any_of(keys), excerpt(value));
    text += *string;
  };
  if (options.text_columns.empty()) add(text_columns(options));
  for (const std::string& key : options.text_columns) {
    if (&key != &options.text_columns.front()) text += ' ';
    add({key});
  }
  return text;
}

std::optional<double> number_of(const JsonValue& value) {
  if (const auto* const integer = value.get_if<std::int64_t>()) return static_cast<double>(*integer);
  if (const auto* const large = value.get_if<std::uint64_t>()) return static_cast<double>(*large);
  const auto* const number = value.get_if<double>();
  return number == nullptr ? std::nullopt : std::optional(*number);
}

/// A string, a number or a boolean as a label's name.
void add_one(const JsonValue& label, const std::string& where, LabelledRow& row, LabelledRows& rows) {
  if (const auto* const name = label.get_if<std::string>()) {
    add_label(*name, where, row, rows);
  } else if (number_of(label) || label.get_if<bool>() != nullptr) {
    add_label(excerpt(label), where, row, rows);
  } else {
    fail("{}: label {}, expected a string, a number, true or false", where, excerpt(label));
  }
}

void read_shares(const JsonValue& label, const std::string& where, LabelledRow& row, LabelledRows& rows) {
  const auto* const shares = label.get_if<JsonValue::Object>();
  const auto fail_shares = [&] { fail("{}: soft label {}, expected {{\"name\": share}}", where, excerpt(label)); };
  if (shares == nullptr) fail_shares();
  for (const auto& [name, share] : *shares) {
    const auto number = number_of(share);
    if (number) add_label(name, where, row, rows);
    row.shares.push_back(number.value_or(0));
    if (!number || row.labels.size() != row.shares.size()) fail_shares();
  }
  check_shares(row, where);
}

void read_labels(const JsonValue& label, const ReadOptions& options, const std::string& where, LabelledRow& row,
                 LabelledRows& rows) {
  const auto* const list = label.get_if<JsonValue::Array>();
  if (options.soft_labels) {
    read_shares(label, where, row, rows);
  } else if (list != nullptr) {
    if (!takes_lists(options))
      fail("{}: label {}, expected one: --task multi-label takes lists", where, excerpt(label));
    for (const JsonValue& name : *list) add_one(name, where, row, rows);
    rows.are_lists = true;
  } else if (label.get_if<JsonValue::Object>() != nullptr) {
    fail("{}: label {}: shares of classes, expected --soft-labels beside them", where, excerpt(label));
  } else {
    add_one(label, where, row, rows);
  }
}

float weight_of(const JsonValue& row, const std::string& key, const std::string& where) {
  const JsonValue& weight = member(row, {key}, where);
  const float value = static_cast<float>(number_of(weight).value_or(-1));
  if (!(value >= 0) || !std::isfinite(value)) fail("{}: weight {}, expected a number from 0", where, excerpt(weight));
  return value;
}

}  // namespace

void read_json_lines(std::string_view text, const ReadOptions& options, bool weighted, LabelledRows& rows) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::int64_t number = 0;
  for_each_line(text, [&](std::string_view line) {
    ++number;
    if (line.find_first_not_of(" \t\r") == line.npos) return;
    LabelledRow row;
    row.line = number;
    const std::string where = rows.where(row);
    if (line.size() > kMaxLine) fail_length(where);
    std::string repaired(line);  // invalid UTF-8 is no JSON
    rows.invalid_utf8 += repair_utf8(repaired);
    const JsonValue json = parse_json(repaired, where);
    row.text = text_of(json, options, where);
    read_labels(member(json, label_columns(options), where), options, where, row, rows);
    if (weighted) row.weight = weight_of(json, options.weight_column, where);
    rows.rows.push_back(std::move(row));
  });
}

}  // namespace reel
