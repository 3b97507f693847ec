#include "host/text/corpus.h"

#include <algorithm>

#include "host/files/archive.h"
#include "host/files/file.h"
#include "host/text/readers.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSupported =
    "aclImdb_v1.tar.gz, an aclImdb folder, imdb.npz, CSV or JSON lines (alone, or train.* and test.* in a folder), or "
    "a prepared folder";

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

Corpus read_npz_with_index(const fs::path& path) {
  const fs::path index = path.parent_path() / "imdb_word_index.json";
  return read_npz(path, is_there(index) ? index : fs::path());
}

enum class Kind { kArchive, kNpz, kRows, kOther };

Kind kind_of(const fs::path& path) {
  const std::string start = read_file(path, kSignatureBytes);
  if (is_zip(start)) return Kind::kNpz;
  if (may_be_tar(start)) return Kind::kArchive;
  if (is_json_lines(path)) return Kind::kRows;
  const std::size_t first = std::min(start.find_first_not_of("\xEF\xBB\xBF\r\n"), start.size());
  const std::string header = start.substr(first, start.find('\n', first) - first);  // of CSV; an array of JSON has none
  return header.find(',') != std::string::npos && !header.starts_with('[') ? Kind::kRows : Kind::kOther;
}

/// Nothing of an empty path.
void expect_rows(const fs::path& path) {
  if (path.empty() || kind_of(path) == Kind::kRows) return;
  fail("{}: expected CSV with a header, or JSON lines, an object a line", path.string());
}

/// The file NAME.csv, NAME.jsonl or NAME.json of a folder; nothing where there is none.
fs::path rows_named(const fs::path& folder, const std::string& name) {
  fs::path found;
  for (const char* type : {".csv", ".jsonl", ".json"}) {
    const fs::path file = folder / (name + type);
    if (!is_file(file)) continue;
    if (!found.empty()) fail("{}: beside {}, expected one of them", file.string(), found.filename().string());
    found = file;
  }
  return found;
}

/// Of sources that have both splits. `path` itself as its tests is what eval asks of anything.
void expect_no_tests(const fs::path& path, const fs::path& test_path) {
  if (test_path.empty() || test_path == path) return;
  fail("{}: has test reviews of its own; expected no others ({})", path.string(), test_path.string());
}

Corpus read_rows(const fs::path& train, const fs::path& test) {
  expect_rows(train);
  expect_rows(test);
  return read_labelled_rows(train, test);
}

Corpus read_folder(const fs::path& folder, const fs::path& test_path) {
  const auto checked = [&](const fs::path& path) {
    expect_no_tests(folder, test_path);
    return path;
  };
  if (is_file(folder / "prepared.json")) return read_prepared(checked(folder));
  for (const fs::path& root : {folder, folder / "aclImdb"}) {
    std::error_code error;
    if (fs::is_directory(root / "train" / "pos", error)) return read_aclimdb_folder(checked(root));
  }
  if (const fs::path train = rows_named(folder, "train"); !train.empty()) {
    const fs::path test = rows_named(folder, "test");
    return read_rows(train, test.empty() ? test_path : checked(test));
  }
  if (is_file(folder / "aclImdb_v1.tar.gz")) return read_aclimdb_archive(checked(folder / "aclImdb_v1.tar.gz"));
  if (is_file(folder / "imdb.npz")) return read_npz_with_index(checked(folder / "imdb.npz"));
  fail("{}: no data set that Reel knows in this folder; expected {}", folder.string(), kSupported);
}

Corpus read_single_file(const fs::path& path, const fs::path& test_path) {
  const Kind kind = kind_of(path);
  if (kind == Kind::kRows) return read_rows(path, test_path);
  if (kind == Kind::kOther) {
    const bool empty = read_file(path, kSignatureBytes).empty();
    fail("{}: {}; expected {}", path.string(), empty ? "the file is empty" : "not a data set that Reel knows",
         kSupported);
  }
  expect_no_tests(path, test_path);
  return kind == Kind::kNpz ? read_npz_with_index(path) : read_aclimdb_archive(path);
}

}  // namespace

Corpus read_corpus(const fs::path& path, const fs::path& test_path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) fail("{}: no such file or folder", path.string());
  if (fs::is_directory(status)) {
    return read_folder(path, test_path == path ? fs::path() : test_path);
  }
  return read_single_file(path, test_path);
}

bool tests_training_rows(const std::string& tested, const std::string& trained) {
  const std::size_t both = tested.find('+'), separate = trained.find('+');
  if (both != std::string::npos) return tested.substr(both + 1) == trained.substr(0, separate);
  return separate != std::string::npos && tested == trained.substr(0, separate);  // a fifth of what was all trained on
}

}  // namespace reel
