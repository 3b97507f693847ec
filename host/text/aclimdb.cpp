// The Large Movie Review Dataset as published: one file a review, named train/pos/ID_RATING.txt.
#include <algorithm>
#include <map>
#include <optional>
#include <string_view>

#include "host/files/archive.h"
#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/text/readers.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

struct SplitAndLabel {
  Split split;
  std::int32_t label;
};

/// Where a file belongs; nothing for the unlabelled reviews, url lists, macOS's notes ("._0_9.txt") and the like.
/// Throws Error for what lies among the reviews and is none. The name may be a stranger's, of a million folders.
std::optional<SplitAndLabel> split_and_label(const fs::path& source, std::string_view name) {
  std::string_view split, label, before;
  int below = 0;  // parts of the name behind the label
  bool hidden = false;
  for (std::string_view rest = name; !rest.empty();) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if ((part == "pos" || part == "neg") && (before == "train" || before == "test") && !rest.empty()) {
      split = before;
      label = part;
      below = 0;
      hidden = false;
    } else {
      ++below;
      hidden = hidden || part.starts_with('.');
    }
    before = part;
  }
  if (label.empty() || hidden) return {};
  if (below != 1 || !name.ends_with(".txt")) {
    fail("{}: {}: among the reviews, expected ID_RATING.txt alone", source.string(), name);
  }
  return SplitAndLabel{.split = split == "train" ? Split::kTrain : Split::kTest, .label = label == "pos" ? 1 : 0};
}

/// Reviews by path: the order in which the archive was packed, and the same for every kind of source.
using Texts = std::map<std::string, std::string>;

Corpus build(const Texts& texts, const fs::path& source, std::string checksum) {
  CorpusBuilder builder;
  for (const auto& [name, text] : texts) {
    const SplitAndLabel review = *split_and_label(source, name);
    builder.add(review.split, review.label, text);
  }
  if (texts.empty()) fail("{}: no reviews: expected aclImdb/train/pos/0_9.txt and the like", source.string());
  return builder.finish(source.string(), std::move(checksum));
}

}  // namespace

Corpus read_aclimdb_archive(const fs::path& path) {
  Texts texts;
  std::optional<fs::path> root;  // the folder that holds train/ and test/
  read_archive(
      path, [&](const std::string& name) { return split_and_label(path, name).has_value(); },
      [&](const std::string& name, std::string text) {
        const fs::path file(name);
        const fs::path split = file.parent_path().parent_path();
        if (!root) root = split.parent_path();
        if (*root != split.parent_path()) {
          fail("{}: reviews below '{}' and '{}', expected one data set", path.string(), root->string(),
               split.parent_path().string());
        }
        const fs::path key = split.filename() / file.parent_path().filename() / file.filename();
        if (!texts.emplace(key.string(), std::move(text)).second) fail("{}: {} twice", path.string(), name);
      });
  return build(texts, path, file_sha256(path));
}

Corpus read_aclimdb_folder(const fs::path& folder) {
  Texts texts;
  for (const char* part : {"train/pos", "train/neg", "test/pos", "test/neg"}) {
    for (const std::string& file : names_in(folder / part)) {
      const std::string name = std::string(part) + '/' + file;
      if (split_and_label(folder, name)) texts[name] = read_file(folder / name);
    }
  }
  Checksum checksum;
  for (const auto& [name, text] : texts) {
    checksum.add(name + '\n' + std::to_string(text.size()) + '\n');
    checksum.add(text);
  }
  return build(texts, folder, "sha256:" + checksum.hex());
}

}  // namespace reel
