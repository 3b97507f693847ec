// fastText's lines: __label__one __label__another and a text.
#include <algorithm>
#include <utility>

#include "host/files/limits.h"
#include "host/files/lines.h"
#include "host/text/rows.h"
#include "kernels/check.h"

namespace reel {

void read_fasttext(std::string_view text, const ReadOptions& options, LabelledRows& rows) {
  constexpr std::string_view kLabel = "__label__", kBlanks = " \t";
  if (!options.text_columns.empty() || !options.label_column.empty() || !options.weight_column.empty()) {
    fail("{}: lines of fastText have no columns: expected no --text-column, --label-column and --weight-column",
         rows.path);
  }
  if (options.soft_labels) fail("{}: lines of fastText have no shares: expected no --soft-labels", rows.path);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::int64_t number = 0;
  for_each_line(text, [&](std::string_view line) {
    ++number;
    LabelledRow row;
    row.line = number;
    const std::string where = rows.where(row);
    if (line.size() > kMaxLine) fail_length(where);
    const auto skip_blanks = [&] { line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size())); };
    if (line.ends_with('\r')) line.remove_suffix(1);
    skip_blanks();
    if (line.empty()) return;
    while (line.starts_with(kLabel)) {
      const std::size_t end = std::min(line.find_first_of(kBlanks), line.size());
      add_label(line.substr(kLabel.size(), end - kLabel.size()), where, row, rows);
      line.remove_prefix(end);
      skip_blanks();
    }
    rows.are_lists = rows.are_lists || row.labels.size() > 1;
    row.text = line;
    rows.rows.push_back(std::move(row));
  });
}

}  // namespace reel
