// CSV with a header, and JSON lines.
#include <algorithm>
#include <optional>

#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/files/json.h"
#include "host/files/limits.h"
#include "host/files/lines.h"
#include "host/text/readers.h"
#include "host/text/shuffle.h"
#include "host/text/tokenizer.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSplitKey = 2;  // beside those of the splits' own orders
constexpr std::size_t kTestShare = 5;   // one row in five, drawn at random, tests where there is no test file

std::int32_t parse_label(std::string label, const std::string& where) {
  std::ranges::transform(label, label.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  if (label == "1" || label == "pos" || label == "positive" || label == "true") return 1;
  if (label == "0" || label == "neg" || label == "negative" || label == "false") return 0;
  fail("{}: label '{:.{}}', expected 0, 1, neg, pos, negative or positive", where, label, kMaxExcerpt);
}

[[noreturn]] void fail_length(const std::string& where) { fail("{}: a row of more than {} bytes", where, kMaxLine); }

/// Reads RFC 4180: fields in double quotes may hold commas, newlines and doubled quotes. A byte order mark is skipped.
class CsvReader {
 public:
  explicit CsvReader(const fs::path& path) : path_(path.string()), text_(read_file(path)) {
    if (text_.starts_with("\xEF\xBB\xBF")) offset_ = 3;
  }

  /// "path:line" of the record that was read last.
  std::string where() const { return fmt::format("{}:{}", path_, record_line_); }

  /// The next record, nothing at the end of the file. Empty lines are skipped.
  std::optional<std::vector<std::string>> next() {
    while (offset_ < text_.size() && (text_[offset_] == '\n' || text_[offset_] == '\r'))
      line_ += text_[offset_++] == '\n';
    if (offset_ >= text_.size()) return {};
    record_line_ = line_;
    const std::size_t begin = offset_;
    std::vector<std::string> fields;
    do {
      if (fields.size() == kMaxColumns) fail("{}: more than {} fields", where(), kMaxColumns);
      fields.push_back(text_[offset_] == '"' ? quoted() : plain());
      if (offset_ - begin > kMaxLine) fail_length(where());
    } while (take(','));
    take('\r');
    if (offset_ < text_.size() && !take('\n'))
      fail("{}: expected a comma or the end of the line after a field", where());
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
    const std::size_t end = std::min(text_.find_first_of(",\r\n", offset_), text_.size());
    std::string field = text_.substr(offset_, end - offset_);
    offset_ = end;
    return field;
  }

  std::string quoted() {
    std::string field;
    ++offset_;
    for (;;) {
      const std::size_t end = text_.find('"', offset_);
      if (end == std::string::npos) fail("{}: quoted field without a closing quote", where());
      field.append(text_, offset_, end - offset_);
      offset_ = end + 1;
      if (!take('"')) break;
      field += '"';
    }
    line_ += std::ranges::count(field, '\n');
    return field;
  }

  std::string path_, text_;
  std::size_t offset_ = 0;
  std::int64_t line_ = 1, record_line_ = 1;
};

struct LabelledText {
  std::int32_t label;
  std::string text;
};

std::vector<LabelledText> read_csv(const fs::path& path) {
  CsvReader csv(path);
  const std::vector<std::string> header = csv.next().value_or(std::vector<std::string>{});
  const auto column = [&](const char* name, const char* other) {
    const auto is_it = [&](const std::string& h) { return h == name || h == other; };
    const auto found = std::ranges::find_if(header, is_it);
    if (found == header.end()) fail("{}: no column '{}' or '{}' in the header", path.string(), name, other);
    if (std::any_of(found + 1, header.end(), is_it)) {
      fail("{}: more than one column '{}' or '{}' in the header", path.string(), name, other);
    }
    return static_cast<std::size_t>(found - header.begin());
  };
  const std::size_t text = column("review", "text"), label = column("sentiment", "label");
  std::vector<LabelledText> rows;
  while (auto record = csv.next()) {
    if (record->size() != header.size()) {
      fail("{}: {} fields, expected {} as in the header", csv.where(), record->size(), header.size());
    }
    rows.push_back({parse_label((*record)[label], csv.where()), std::move((*record)[text])});
  }
  return rows;
}

/// Invalid UTF-8 is not valid JSON: it is replaced before parsing, and counted.
std::vector<LabelledText> read_json_lines(const fs::path& path, CorpusBuilder& builder) {
  std::vector<LabelledText> rows;
  std::int64_t number = 0;
  for_each_line(read_file(path), [&](std::string_view text) {
    ++number;
    if (text.find_first_not_of(" \t\r") == std::string::npos) return;
    const std::string where = fmt::format("{}:{}", path.string(), number);
    if (text.size() > kMaxLine) fail_length(where);
    std::string line(text);
    builder.count_invalid_utf8(repair_utf8(line));
    const JsonValue row = parse_json(line, where);
    const JsonValue* const label = row.find("label");
    const auto* const review = row.find_if<std::string>("text");
    if (label == nullptr || review == nullptr) {
      fail("{}: expected {{\"text\": \"...\", \"label\": 0 or 1}}", where);
    }
    for (const char* const other : {"sentiment", "review"}) {  // the names that columns of CSV may have too
      if (row.find(other) != nullptr) fail("{}: '{}' beside 'text' and 'label', expected those alone", where, other);
    }
    const auto* const name = label->get_if<std::string>();
    rows.push_back({parse_label(name != nullptr ? *name : excerpt(*label), where), *review});
  });
  return rows;
}

}  // namespace

Corpus read_labelled_rows(const fs::path& train_path, const fs::path& test_path) {
  CorpusBuilder builder;
  const auto read = [&](const fs::path& path) {
    std::vector<LabelledText> rows = is_json_lines(path) ? read_json_lines(path, builder) : read_csv(path);
    if (rows.empty()) fail("{}: no reviews", path.string());
    return rows;
  };
  const auto add = [&](Split split, std::span<const LabelledText> rows) {
    for (const LabelledText& row : rows) builder.add(split, row.label, row.text);
  };
  std::vector<LabelledText> train = read(train_path);
  if (test_path.empty()) {
    if (train.size() == 1) fail("{}: one review, expected more: a fifth of them test", train_path.string());
    std::vector<LabelledText> shuffled;
    const RandomKey key{.seed = 0, .stream = RandomStream::kCorpusShuffle, .step = kSplitKey};
    for (const std::int32_t i : random_order(key, static_cast<std::int64_t>(train.size()))) {
      shuffled.push_back(std::move(train[static_cast<std::size_t>(i)]));
    }
    train = std::move(shuffled);
    const std::size_t kept = train.size() - (train.size() + kTestShare - 1) / kTestShare;
    add(Split::kTrain, std::span(train).first(kept));
    add(Split::kTest, std::span(train).subspan(kept));
    return builder.finish(train_path.string(), file_sha256(train_path));
  }
  add(Split::kTrain, train);
  add(Split::kTest, read(test_path));
  return builder.finish(train_path.string(), file_sha256(train_path) + "+" + file_sha256(test_path));
}

bool is_json_lines(const fs::path& path) {
  const std::string start = read_file(path, kSignatureBytes);
  const std::size_t first = start.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  return first != std::string::npos && start[first] == '{';
}

}  // namespace reel
