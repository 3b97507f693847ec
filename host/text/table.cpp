// CSV and TSV with a header.
#include <algorithm>
#include <cmath>
#include <utility>

#include "host/files/limits.h"
#include "host/text/label_index.h"
#include "host/text/rows.h"
#include "kernels/check.h"

namespace reel {
namespace {

/// Reads RFC 4180, with commas or tabs. A byte order mark is skipped.
class TableReader {
 public:
  TableReader(std::string_view text, std::string path) : path_(std::move(path)), text_(text) {
    if (text_.starts_with("\xEF\xBB\xBF")) offset_ = 3;
    const std::size_t first = std::min(text_.find_first_not_of("\r\n", offset_), text_.size());
    const std::string_view header = text_.substr(first, text_.find('\n', first) - first);
    if (header.find('\t') != header.npos) separator_ = '\t';
  }

  /// Where the record that was read last begins, as a line.
  std::int64_t line() const { return record_line_; }
  std::string where() const { return fmt::format("{}:{}", path_, record_line_); }

  /// The next record, nothing at the end of the text. Empty lines are skipped.
  std::optional<std::vector<std::string>> next() {
    while (offset_ < text_.size() && (text_[offset_] == '\n' || text_[offset_] == '\r'))
      line_ += text_[offset_++] == '\n';
    if (offset_ >= text_.size()) return {};
    record_line_ = line_;
    const std::size_t begin = offset_;
    std::vector<std::string> fields;
    do {
      if (fields.size() == kMaxColumns) fail("{}: more than {} fields", where(), kMaxColumns);
      fields.push_back(offset_ < text_.size() && text_[offset_] == '"' ? quoted() : plain());
      if (offset_ - begin > kMaxLine) fail_length(where());
    } while (take(separator_));
    take('\r');
    if (offset_ < text_.size() && !take('\n')) {
      fail("{}: expected a {} or the end of the line after a field", where(), separator_ == ',' ? "comma" : "tab");
    }
    ++line_;
    return fields;
  }

 private:
  bool take(char c) {
    if (offset_ >= text_.size() || text_[offset_] != c) return false;
    ++offset_;
    return true;
  }

  std::string plain() {
    const char ends[] = {separator_, '\r', '\n'};
    const std::size_t end = std::min(text_.find_first_of({ends, std::size(ends)}, offset_), text_.size());
    std::string field(text_.substr(offset_, end - offset_));
    offset_ = end;
    return field;
  }

  std::string quoted() {
    std::string field;
    ++offset_;
    for (;;) {
      const std::size_t end = text_.find('"', offset_);
      if (end == text_.npos) fail("{}: quoted field without a closing quote", where());
      field.append(text_, offset_, end - offset_);
      offset_ = end + 1;
      if (!take('"')) break;
      field += '"';
    }
    line_ += std::ranges::count(field, '\n');
    return field;
  }

  std::string path_;
  std::string_view text_;
  char separator_ = ',';
  std::size_t offset_ = 0;
  std::int64_t line_ = 1, record_line_ = 1;
};

using Fields = std::vector<std::string>;

/// The column of one of these names.
std::size_t column_of(const Fields& header, const Fields& names, const std::string& path) {
  const auto is_it = [&](const std::string& h) { return std::ranges::find(names, h) != names.end(); };
  const auto found = std::ranges::find_if(header, is_it);
  if (found == header.end()) fail("{}: no column {} in the header ({})", path, any_of(names), first_few(header));
  if (std::any_of(found + 1, header.end(), is_it))
    fail("{}: more than one column {} in the header", path, any_of(names));
  return static_cast<std::size_t>(found - header.begin());
}

std::vector<std::size_t> text_columns_of(const Fields& header, const ReadOptions& options, const std::string& path) {
  if (options.text_columns.empty()) return {column_of(header, text_columns(options), path)};
  std::vector<std::size_t> columns;
  for (const std::string& name : options.text_columns) columns.push_back(column_of(header, {name}, path));
  return columns;
}

/// Calls f(part) for each that stands between semicolons.
template <class F>
void for_each_part(std::string_view text, const F& f) {
  for (;;) {
    const std::size_t end = std::min(text.find(';'), text.size());
    f(text.substr(0, end));
    if (end == text.size()) return;
    text.remove_prefix(end + 1);
  }
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = std::min(text.find_first_not_of(' '), text.size());
  return text.substr(first, text.find_last_not_of(' ') + 1 - first);
}

void read_shares(std::string_view field, const std::string& where, LabelledRow& row, LabelledRows& rows) {
  for_each_part(field, [&](std::string_view part) {
    const std::size_t colon = part.rfind(':');
    const auto share = colon == part.npos ? std::nullopt : parse_number(trimmed(part.substr(colon + 1)));
    if (share) add_label(part.substr(0, colon), where, row, rows);
    row.shares.push_back(share.value_or(0));
    if (!share || row.labels.size() != row.shares.size()) {
      fail("{}: soft label '{:.{}}', expected name:share;name:share", where, field, kMaxExcerpt);
    }
  });
  check_shares(row, where);
}

void read_labels(std::string_view field, const ReadOptions& options, const std::string& where, LabelledRow& row,
                 LabelledRows& rows) {
  if (options.soft_labels) {
    read_shares(field, where, row, rows);
  } else if (takes_lists(options)) {
    for_each_part(field, [&](std::string_view part) { add_label(part, where, row, rows); });
    rows.are_lists = rows.are_lists || row.labels.size() > 1;
  } else {
    add_label(field, where, row, rows);
  }
}

float parse_weight(std::string_view field, const std::string& where) {
  const auto weight = parse_number(trimmed(field));
  const float value = weight ? static_cast<float>(*weight) : -1;
  if (!(value >= 0) || !std::isfinite(value)) {
    fail("{}: weight '{:.{}}', expected a number from 0", where, field, kMaxExcerpt);
  }
  return value;
}

}  // namespace

void read_table(std::string_view text, const ReadOptions& options, bool weighted, LabelledRows& rows) {
  TableReader table(text, rows.path);
  const Fields header = table.next().value_or(Fields{});
  const std::vector<std::size_t> texts = text_columns_of(header, options, rows.path);
  const std::size_t label = column_of(header, label_columns(options), rows.path);
  std::optional<std::size_t> weight;
  if (weighted) weight = column_of(header, {options.weight_column}, rows.path);
  while (auto record = table.next()) {
    const std::string where = table.where();
    if (record->size() != header.size()) {
      fail("{}: {} fields, expected {} as in the header", where, record->size(), header.size());
    }
    LabelledRow row;
    row.line = table.line();
    read_labels((*record)[label], options, where, row, rows);
    if (weight) row.weight = parse_weight((*record)[*weight], where);
    for (const std::size_t column : texts) {
      if (column != texts.front()) row.text += ' ';
      row.text += (*record)[column];
    }
    rows.rows.push_back(std::move(row));
  }
}

}  // namespace reel
