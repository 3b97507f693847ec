#include "host/text/corpus.h"

#include <algorithm>

#include "host/files/archive.h"
#include "host/files/file.h"
#include "host/files/packed.h"
#include "host/text/readers.h"
#include "host/text/rows.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSupported =
    "aclImdb_v1.tar.gz, an aclImdb folder, imdb.npz, rows of CSV, TSV, JSON lines or fastText (alone, or train.* and "
    "test.* in a folder), a folder of LABEL/*.txt, or a prepared folder";

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
  const std::string start = read_unpacked_start(path, kSignatureBytes);
  if (is_zip(start)) return Kind::kNpz;
  if (may_be_tar(start)) return Kind::kArchive;
  if (row_format(start)) return Kind::kRows;
  if (!is_packed(read_file(path, kSignatureBytes))) return Kind::kOther;
  if (start.empty()) read_unpacked(path);  // says what is wrong
  return Kind::kArchive;
}

/// Nothing of an empty path.
void expect_rows(const fs::path& path) {
  std::error_code error;
  if (path.empty() || fs::is_directory(path, error) || kind_of(path) == Kind::kRows) return;
  fail("{}: expected CSV or TSV with a header, JSON lines, an object a line, or lines of fastText", path.string());
}

/// The file NAME.csv and the like of a folder, packed or not; nothing where there is none.
fs::path rows_named(const fs::path& folder, const std::string& name) {
  fs::path found;
  for (const std::string type : {".csv", ".tsv", ".jsonl", ".json", ".txt"}) {
    for (const char* const packing : {"", ".gz", ".bz2", ".xz", ".zst"}) {
      const fs::path file = folder / (name + type + packing);
      if (!is_file(file)) continue;
      if (!found.empty()) fail("{}: beside {}, expected one of them", file.string(), found.filename().string());
      found = file;
    }
  }
  return found;
}

/// Whether these are positive and negative reviews, and none of other labels.
bool is_aclimdb(const fs::path& root) {
  std::error_code error;
  if (!fs::is_directory(root / "train" / "pos", error)) return false;
  return std::ranges::all_of(label_folders(root / "train"), [](const std::string& label) {
    return label == "pos" || label == "neg" || label == "unsup";
  });
}

/// Of sources that have both splits. `path` itself as its tests is what eval asks of anything.
void expect_no_tests(const fs::path& path, const fs::path& test_path) {
  if (test_path.empty() || test_path == path) return;
  fail("{}: has test reviews of its own; expected no others ({})", path.string(), test_path.string());
}

/// What read_corpus was asked for.
struct Request {
  const fs::path& path;
  const fs::path& test_path;
  const ReadOptions& options;

  Corpus rows(const fs::path& train, const fs::path& test) const {
    expect_rows(train);
    expect_rows(test);
    return read_labelled_rows(train, test, options);
  }
  /// Of a source that says all itself.
  template <class Read>
  Corpus whole(const Read& read) const {
    expect_no_tests(path, test_path);
    expect_no_columns(path.string(), options);
    return with_own_labels(read(), options);
  }
  Corpus folder() const;
  Corpus single_file() const;
};

Corpus Request::folder() const {
  const fs::path elsewhere = test_path == path ? fs::path() : test_path;
  if (is_file(path / "prepared.json")) return whole([&] { return read_prepared(path); });
  for (const fs::path& root : {path, path / "aclImdb"}) {
    if (is_aclimdb(root)) return whole([&] { return read_aclimdb_folder(root); });
  }
  if (const fs::path train = rows_named(path, "train"); !train.empty()) {
    const fs::path test = rows_named(path, "test");
    if (!test.empty()) expect_no_tests(path, test_path);
    return rows(train, test.empty() ? elsewhere : test);
  }
  if (const fs::path file = path / "aclImdb_v1.tar.gz"; is_file(file)) {
    return whole([&] { return read_aclimdb_archive(file); });
  }
  if (const fs::path file = path / "imdb.npz"; is_file(file)) return whole([&] { return read_npz_with_index(file); });
  if (!label_folders(path / "train").empty()) {
    const bool tests = !label_folders(path / "test").empty();
    if (tests) expect_no_tests(path, test_path);
    return rows(path / "train", tests ? path / "test" : elsewhere);
  }
  if (!label_folders(path).empty()) return rows(path, test_path);
  fail("{}: no data set that Reel knows in this folder; expected {}", path.string(), kSupported);
}

Corpus Request::single_file() const {
  switch (kind_of(path)) {
    case Kind::kRows:
      return rows(path, test_path);
    case Kind::kNpz:
      return whole([&] { return read_npz_with_index(path); });
    case Kind::kArchive:
      return whole([&] { return read_aclimdb_archive(path); });
    case Kind::kOther:
      break;
  }
  const bool empty = read_file(path, kSignatureBytes).empty();
  fail("{}: {}; expected {}", path.string(), empty ? "the file is empty" : "not a data set that Reel knows",
       kSupported);
}

}  // namespace

Corpus read_corpus(const fs::path& path, const fs::path& test_path, const ReadOptions& options) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) fail("{}: no such file or folder", path.string());
  const Request request{.path = path, .test_path = test_path, .options = options};
  return fs::is_directory(status) ? request.folder() : request.single_file();
}

bool tests_training_rows(const std::string& tested, const std::string& trained) {
  const std::size_t both = tested.find('+'), separate = trained.find('+');
  if (both != std::string::npos) return tested.substr(both + 1) == trained.substr(0, separate);
  return separate != std::string::npos && tested == trained.substr(0, separate);  // a fifth of what was all trained on
}

}  // namespace reel
