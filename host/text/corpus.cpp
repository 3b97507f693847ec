#include "host/text/corpus.h"

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
  return read_npz(path, is_file(index) ? index : fs::path());
}

Corpus read_folder(const fs::path& folder) {
  if (is_file(folder / "prepared.json")) return read_prepared(folder);
  for (const fs::path& root : {folder, folder / "aclImdb"}) {
    std::error_code error;
    if (fs::is_directory(root / "train" / "pos", error)) return read_aclimdb_folder(root);
  }
  for (const char* type : {".csv", ".jsonl", ".json"}) {
    const fs::path train = folder / (std::string("train") + type), test = folder / (std::string("test") + type);
    if (is_file(train)) return read_labelled_rows(train, is_file(test) ? test : fs::path());
  }
  if (is_file(folder / "aclImdb_v1.tar.gz")) return read_aclimdb_archive(folder / "aclImdb_v1.tar.gz");
  if (is_file(folder / "imdb.npz")) return read_npz_with_index(folder / "imdb.npz");
  fail("{}: no data set that Reel knows in this folder; expected {}", folder.string(), kSupported);
}

/// A tar archive names its format at byte 257; what it may be compressed by begins with a magic number.
constexpr std::size_t kTarMagic = 257;  // where it stands

/// Of sources that have both splits. `path` itself as its tests is what eval asks of anything.
void expect_no_tests(const fs::path& path, const fs::path& test_path) {
  if (test_path.empty() || test_path == path) return;
  fail("{}: has test reviews of its own; expected no others ({})", path.string(), test_path.string());
}

Corpus read_single_file(const fs::path& path, const fs::path& test_path) {
  const std::string start = read_start(path);
  if (start.empty()) fail("{}: the file is empty; expected {}", path.string(), kSupported);
  const bool npz = start.starts_with("PK\x03\x04");
  if (npz || is_packed(start) || start.find("ustar", kTarMagic) == kTarMagic) {
    expect_no_tests(path, test_path);
    return npz ? read_npz_with_index(path) : read_aclimdb_archive(path);
  }
  const std::string header = start.substr(0, start.find('\n'));
  if (is_json_lines(path) || header.find(',') != std::string::npos) return read_labelled_rows(path, test_path);
  fail("{}: not a data set that Reel knows; expected {}", path.string(), kSupported);
}

}  // namespace

Corpus read_corpus(const fs::path& path, const fs::path& test_path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) fail("{}: no such file or folder", path.string());
  if (fs::is_directory(status)) {
    expect_no_tests(path, test_path);
    return read_folder(path);
  }
  return read_single_file(path, test_path);
}

}  // namespace reel
