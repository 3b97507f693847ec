// Labelled rows as their files have them, before anybody knows what their labels are; and a reader for each format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/text/corpus.h"

namespace reel {

struct LabelledRow {
  std::string text;
  std::vector<std::string> labels;  // names or numbers, as add_label() leaves them; none where the file has none
  std::vector<double> shares;       // of soft labels, like `labels`: from 0, with a finite sum that is not 0
  float weight = 1;
  std::int64_t line = 0;  // where it begins, from 1; 0 of a text that is a file itself
};

/// The rows of a file, or of a folder with a sub-folder a label.
struct LabelledRows {
  std::string path, checksum;
  std::vector<LabelledRow> rows;
  bool are_lists = false;         // some row has a list of labels
  std::int64_t invalid_utf8 = 0;  // sequences replaced, but for those of texts that are as they were

  /// "path:line" of a row.
  std::string where(const LabelledRow& row) const;
};

enum class RowFormat { kTable, kJsonLines, kFastText };
/// Of a file that begins so (kSignatureBytes bytes of it): a line with a tab or a comma heads a table. Nothing where it
/// is none of them.
std::optional<RowFormat> row_format(std::string_view start);

/// The rows of a file, which may be packed; weights where `weighted`. Throws Error where there are none.
LabelledRows read_row_file(const std::filesystem::path& path, const ReadOptions& options, bool weighted);

/// CSV or TSV with a header: RFC 4180, of TSV with a tab for its commas. Fields in double quotes may hold commas,
/// newlines and doubled quotes. Several labels stand between semicolons, soft ones are name:share.
void read_table(std::string_view text, const ReadOptions& options, bool weighted, LabelledRows& rows);
/// An object a line: labels are a string, a number, a boolean, a list of those, or of soft ones {"name": share}.
void read_json_lines(std::string_view text, const ReadOptions& options, bool weighted, LabelledRows& rows);
/// __label__one __label__another and a text.
void read_fasttext(std::string_view text, const ReadOptions& options, LabelledRows& rows);

/// The sub-folders that hold texts (NAME.txt), sorted by name; hidden ones are none.
std::vector<std::string> label_folders(const std::filesystem::path& folder);
/// Their texts, each labelled with the name of its folder. Throws Error where there is something else among them.
LabelledRows read_label_folders(const std::filesystem::path& folder, const ReadOptions& options);

/// What readers share. Whether a row may have several labels, as far as the options say; the columns that they ask for.
bool takes_lists(const ReadOptions& options);
std::vector<std::string> text_columns(const ReadOptions& options);   // all of them, or one of the default ones:
std::vector<std::string> label_columns(const ReadOptions& options);  // one of these
/// "'review' or 'text'"
std::string any_of(const std::vector<std::string>& names);
[[noreturn]] void fail_length(const std::string& where);
/// Adds a label's name, if there is any: with invalid UTF-8 replaced, without blanks around it, and with one blank for
/// those (newlines, tabs and other control characters too) within.
void add_label(std::string_view name, const std::string& where, LabelledRow& row, LabelledRows& rows);
/// Throws Error where shares are not as LabelledRow says.
void check_shares(const LabelledRow& row, const std::string& where);

}  // namespace reel
