// Where the data comes from when nobody said: $REEL_DATA, the cache, a download, the generator.
#include <cstdlib>

#include "host/files/checksum.h"
#include "host/files/download.h"
#include "host/files/file.h"
#include "host/text/corpus.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

fs::path cache_folder() {
  const std::string reel = environment("REEL_CACHE"), xdg = environment("XDG_CACHE_HOME"), home = environment("HOME");
  if (!reel.empty()) return reel;
  if (!xdg.empty()) return fs::path(xdg) / "reel";
  return (home.empty() ? fs::temp_directory_path() : fs::path(home) / ".cache") / "reel";
}

/// The archive in the cache, downloaded unless it is there already, whole.
fs::path fetch(const DefaultCorpusEvents& events, const PublishedArchive& published) {
  create_folders(cache_folder());
  const fs::path archive = cache_folder() / "aclImdb_v1.tar.gz";
  if (fs::exists(archive) && file_md5(archive) == published.md5) return archive;
  events.announce(fmt::format("data: downloading {}", published.url));
  download({.url = published.url, .md5 = published.md5, .progress = events.progress}, archive);
  return archive;
}

}  // namespace

Corpus default_corpus(const DefaultCorpusEvents& events, const PublishedArchive& published) {
  if (const std::string data = environment("REEL_DATA"); !data.empty()) {
    events.announce(fmt::format("data: {} ($REEL_DATA)", data));
    return read_corpus(data);
  }
  const fs::path prepared = cache_folder() / fmt::format("imdb-{}", kPreparedFormat);
  if (fs::exists(prepared / "prepared.json")) {
    events.announce(fmt::format("data: {} (the cache)", prepared.string()));
    return read_corpus(prepared);
  }
  fs::path archive;
  try {
    archive = fetch(events, published);
  } catch (const Error& error) {
    events.announce(error.what());
    events.announce(
        "data: NOT IMDB: the built-in generated reviews. Accuracies below say nothing about IMDB; for that, give "
        "--data FILE or set REEL_DATA");
    return generate_corpus();
  }
  Corpus corpus = read_corpus(archive);
  try {
    write_prepared(corpus, prepared);
    std::error_code error;
    fs::remove(archive, error);  // the prepared folder serves from now on
  } catch (const Error& error) {
    events.announce(fmt::format("{}: the next run reads the archive again", error.what()));
  }
  return corpus;
}

}  // namespace reel
