#include "host/text/rows.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/files/limits.h"
#include "host/files/packed.h"
#include "host/text/tokenizer.h"
#include "kernels/check.h"

namespace reel {

namespace fs = std::filesystem;

std::string LabelledRows::where(const LabelledRow& row) const {
  return row.line == 0 ? path : fmt::format("{}:{}", path, row.line);
}

std::optional<RowFormat> row_format(std::string_view start) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (start.starts_with(kByteOrderMark)) start.remove_prefix(kByteOrderMark.size());
  const auto from = [&](std::string_view skipped) {
    return start.substr(std::min(start.find_first_not_of(skipped), start.size()));
  };
  const std::string_view first = from(" \t\r\n"), header = from("\r\n");
  if (first.starts_with('{')) return RowFormat::kJsonLines;
  if (first.starts_with("__label__")) return RowFormat::kFastText;
  if (first.starts_with('[')) return {};  // an array of JSON has no header
  const bool columns = header.substr(0, header.find('\n')).find_first_of(",\t") != header.npos;
  return columns ? std::optional(RowFormat::kTable) : std::nullopt;
}

namespace {

ReadOptions with_model_columns(ReadOptions options) {
  if (options.text_columns.empty()) options.text_columns = options.model_text_columns;
  if (options.label_column.empty()) options.label_column = options.model_label_column;
  return options;
}

}  // namespace

LabelledRows read_row_file(const fs::path& path, const ReadOptions& options, bool weighted) {
  LabelledRows rows;
  rows.path = path.string();
  if (std::ranges::find(options.text_columns, options.label_column) != options.text_columns.end()) {
    fail("{}: column '{}' as text and as label, expected two", rows.path, options.label_column);
  }
  const std::string text = read_unpacked(path);
  switch (row_format(std::string_view(text).substr(0, kSignatureBytes)).value_or(RowFormat::kTable)) {
    case RowFormat::kTable:
      read_table(text, with_model_columns(options), weighted, rows);
      break;
    case RowFormat::kJsonLines:
      read_json_lines(text, with_model_columns(options), weighted, rows);
      break;
    case RowFormat::kFastText:
      read_fasttext(text, options, rows);
      break;
  }
  if (rows.rows.empty()) fail("{}: no reviews", rows.path);
  rows.checksum = file_sha256(path);
  return rows;
}

bool takes_lists(const ReadOptions& options) {
  if (options.labels) return options.labels->task == Task::kMultiLabel;
  return !options.task || *options.task == Task::kMultiLabel;
}

std::vector<std::string> text_columns(const ReadOptions& options) {
  if (options.text_columns.empty()) return {"review", "text"};
  return options.text_columns;
}

std::vector<std::string> label_columns(const ReadOptions& options) {
  if (options.label_column.empty()) return {"sentiment", "label"};
  return {options.label_column};
}

std::string any_of(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += fmt::format("{}'{}'", text.empty() ? "" : " or ", name);
  return text;
}

void fail_length(const std::string& where) { fail("{}: a row of more than {} bytes", where, kMaxLine); }

void add_label(std::string_view name, const std::string& where, LabelledRow& row, LabelledRows& rows) {
  std::string label;
  for (const char c : name) {
    const bool blank = (c >= 0 && c <= ' ') || c == '\x7F';
    if (!blank) {
      label += c;
    } else if (!label.empty() && label.back() != ' ') {
      label += ' ';
    }
  }
  if (label.ends_with(' ')) label.pop_back();
  rows.invalid_utf8 += repair_utf8(label);
  if (label.size() > kMaxLabelBytes) {
    fail("{}: label '{:.{}}...' of {} bytes, expected {} or fewer", where, label, kMaxExcerpt, label.size(),
         kMaxLabelBytes);
  }
  if (!label.empty()) row.labels.push_back(std::move(label));
}

void check_shares(const LabelledRow& row, const std::string& where) {
  double sum = 0;
  for (const double share : row.shares) {
    if (!(share >= 0) || !std::isfinite(share)) fail("{}: a share of {}, expected a number from 0", where, share);
    sum += share;
  }
  if (!(sum > 0) || !std::isfinite(sum)) fail("{}: shares that add up to {}, expected more than 0", where, sum);
}

}  // namespace reel
