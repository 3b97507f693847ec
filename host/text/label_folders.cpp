// A folder with a sub-folder of texts for each label: LABEL/NAME.txt.
#include <algorithm>
#include <utility>

#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/text/rows.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

bool is_text(const std::string& name) { return !name.starts_with('.') && name.ends_with(".txt"); }

/// What is there under names that are not hidden, sorted.
std::vector<std::string> visible_in(const fs::path& folder) {
  std::vector<std::string> names = names_in(folder);
  std::erase_if(names, [](const std::string& name) { return name.starts_with('.'); });
  std::ranges::sort(names);
  return names;
}

}  // namespace

std::vector<std::string> label_folders(const fs::path& folder) {
  std::error_code error;
  std::vector<std::string> labels;
  if (!fs::is_directory(folder, error)) return labels;
  for (std::string& name : visible_in(folder)) {
    if (fs::is_directory(folder / name, error) && std::ranges::any_of(names_in(folder / name), is_text)) {
      labels.push_back(std::move(name));
    }
  }
  return labels;
}

LabelledRows read_label_folders(const fs::path& folder, const ReadOptions& options) {
  LabelledRows rows;
  rows.path = folder.string();
  if (!options.text_columns.empty() || !options.label_column.empty() || !options.weight_column.empty()) {
    fail("{}: a folder of texts has no columns: expected no --text-column, --label-column and --weight-column",
         rows.path);
  }
  if (options.soft_labels) fail("{}: a folder of texts has no shares: expected no --soft-labels", rows.path);
  Checksum checksum;
  const std::vector<std::string> labels = label_folders(folder);
  for (const std::string& other : visible_in(folder)) {
    std::error_code error;
    if (!fs::is_directory(folder / other, error) || std::ranges::find(labels, other) != labels.end()) continue;
    if (visible_in(folder / other).empty()) continue;
    fail("{}: no texts in it, expected NAME.txt as in the folders beside", (folder / other).string());
  }
  for (const std::string& label : labels) {
    for (const std::string& name : visible_in(folder / label)) {
      if (!is_text(name)) fail("{}: among the texts, expected NAME.txt alone", (folder / label / name).string());
      LabelledRow row;
      row.text = read_file(folder / label / name);
      add_label(label, (folder / label).string(), row, rows);
      checksum.add(fmt::format("{}/{}\n{}\n", label, name, row.text.size()));
      checksum.add(row.text);
      rows.rows.push_back(std::move(row));
    }
  }
  if (rows.rows.empty()) fail("{}: no texts, expected LABEL/NAME.txt", rows.path);
  rows.checksum = "sha256:" + checksum.hex();
  return rows;
}

}  // namespace reel
