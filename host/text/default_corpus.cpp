// Where the data comes from when nobody said: $REEL_DATA, the cache, a download, the generator.
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>
#include <utility>

#include "host/files/checksum.h"
#include "host/files/download.h"
#include "host/files/file.h"
#include "host/text/readers.h"
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

/// While one process makes the cache the others wait. Nothing where the cache cannot be written.
std::optional<FileLock> lock_cache(const DefaultCorpusEvents& events) try {
  create_folders(cache_folder());
  for (bool announced = false;; announced = true) {
    FileLock lock(cache_folder() / "lock");
    if (lock.held()) return lock;
    if (!announced) events.announce(fmt::format("data: waiting for another process at {}", cache_folder().string()));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
} catch (const Error&) {
  return {};  // what is there may serve all the same
}

/// The archive in the cache, downloaded unless it is there already, whole.
fs::path fetch(const DefaultCorpusEvents& events, const PublishedArchive& published, bool alone) {
  const fs::path archive = cache_folder() / "aclImdb_v1.tar.gz";
  if (alone) AtomicFile::remove_abandoned(archive);
  if (is_there(archive) && file_md5(archive) == published.md5) return archive;
  events.announce(fmt::format("data: downloading {}", published.url));
  create_folders(cache_folder());
  download({.url = published.url, .md5 = published.md5, .progress = events.progress}, archive);
  return archive;
}

/// Nothing where there is none, or none that can be seen: a home that is somebody else's has none for us.
std::optional<Corpus> read_cache(const DefaultCorpusEvents& events, const fs::path& prepared) {
  std::error_code error;
  if (!fs::exists(prepared / "prepared.json", error)) return {};
  Corpus corpus = read_corpus(prepared);
  events.announce(fmt::format("data: {} (the cache)", prepared.string()));
  return corpus;
}

/// The published reviews, or generated ones.
Corpus own_corpus(const DefaultCorpusEvents& events, const PublishedArchive& published) {
  const fs::path prepared = cache_folder() / fmt::format("imdb-{}", kPreparedFormat);
  try {
    if (std::optional<Corpus> corpus = read_cache(events, prepared)) return *std::move(corpus);
  } catch (const Error&) {  // another process may be writing it
  }
  const std::optional<FileLock> lock = lock_cache(events);
  std::string damage;
  try {
    if (std::optional<Corpus> corpus = read_cache(events, prepared)) return *std::move(corpus);
  } catch (const Error& error) {
    damage = error.what();
  }
  fs::path archive;
  try {
    archive = fetch(events, published, lock && lock->works());
  } catch (const Error& error) {
    if (!damage.empty()) throw Error(damage);  // there were reviews, and these would be others
    events.announce(error.what());
    events.announce(
        "data: NOT IMDB: the built-in generated reviews. Accuracies below say nothing about IMDB; for that, give "
        "--data FILE or set REEL_DATA");
    return generate_corpus();
  }
  Corpus corpus = read_corpus(archive);
  try {
    write_prepared(corpus, prepared);
    if (!damage.empty()) events.announce(damage + ": made anew");
    std::error_code error;
    fs::remove(archive, error);  // the prepared folder serves from now on
  } catch (const Error& error) {
    events.announce(fmt::format("{}: the next run reads the archive again", error.what()));
  }
  return corpus;
}

}  // namespace

Corpus default_corpus(const DefaultCorpusEvents& events, SingleFile single, const ReadOptions& options,
                      const PublishedArchive& published) {
  if (const std::string data = environment("REEL_DATA"); !data.empty()) {
    events.announce(fmt::format("data: {} ($REEL_DATA)", data));
    return read_corpus(data, single == SingleFile::kTests ? fs::path(data) : fs::path(), options);
  }
  Corpus reviews;  // what is asked of them is checked before they are downloaded
  reviews.source = "the IMDB reviews";
  expect_no_columns(reviews.source, options);
  with_own_labels(std::move(reviews), options);
  return with_own_labels(own_corpus(events, published), options);
}

}  // namespace reel
