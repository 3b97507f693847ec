// Where reviews are looked for when no --data is given.
#include <algorithm>
#include <optional>

#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/text/corpus.h"
#include "tests/support/support.h"

namespace reel {
namespace {

/// Sets environment variables and puts them back.
class Environment {
 public:
  void set(const char* name, const std::string& value) {
    const char* before = std::getenv(name);
    saved_.emplace_back(name, before == nullptr ? "" : before);
    value.empty() ? ::unsetenv(name) : ::setenv(name, value.c_str(), 1);
  }
  ~Environment() {
    std::ranges::reverse(saved_);
    for (const auto& [name, value] : saved_) value.empty() ? ::unsetenv(name) : ::setenv(name, value.c_str(), 1);
  }

 private:
  std::vector<std::pair<const char*, std::string>> saved_;
};

TEST(DefaultCorpus, LooksInOrderAndAnnounces) {
  const TemporaryFolder folder;
  Environment environment;
  std::string said;
  const DefaultCorpusEvents events{.announce = [&](const std::string& line) { said += line + '\n'; }};
  environment.set("REEL_DATA", fixture("aclImdb.tar.gz"));
  environment.set("REEL_CACHE", folder.path());
  EXPECT_EQ(default_corpus(events).train.size(), 6);
  EXPECT_THAT(said, testing::HasSubstr("$REEL_DATA"));

  environment.set("REEL_DATA", "");
  write_prepared(read_corpus(fixture("aclImdb.tar.gz")), folder / fmt::format("imdb-{}", kPreparedFormat));
  said.clear();
  EXPECT_EQ(default_corpus(events).train.size(), 6);
  EXPECT_THAT(said, testing::HasSubstr("the cache"));

  std::filesystem::remove_all(folder / fmt::format("imdb-{}", kPreparedFormat));
  environment.set("https_proxy", "http://127.0.0.1:1");  // no network, at once
  environment.set("ALL_PROXY", "http://127.0.0.1:1");
  said.clear();
  EXPECT_EQ(default_corpus(events).source, "generated reviews");
  EXPECT_THAT(said, testing::HasSubstr("download failed"));
  EXPECT_THAT(said, testing::HasSubstr("NOT IMDB"));
}

/// An archive that a run before downloaded is not fetched again; where nothing can be prepared, it serves all the same.
TEST(DefaultCorpus, KeepsWhatItDownloaded) {
  const TemporaryFolder folder;
  Environment environment;
  std::string said;
  const DefaultCorpusEvents events{.announce = [&](const std::string& line) { said += line + '\n'; }};
  environment.set("REEL_DATA", "");
  environment.set("REEL_CACHE", folder.path());
  const auto archive = folder / "aclImdb_v1.tar.gz", prepared = folder / fmt::format("imdb-{}", kPreparedFormat);
  const PublishedArchive published{.url = "file://" + fixture("aclImdb.tar.gz").string(),
                                   .md5 = file_md5(fixture("aclImdb.tar.gz"))};
  folder.write(prepared.filename(), "a file");
  EXPECT_EQ(default_corpus(events, SingleFile::kTrainsAndTests, {}, published).train.size(), 6);
  EXPECT_THAT(said, testing::HasSubstr("data: downloading file://"));
  EXPECT_THAT(said, testing::HasSubstr("the next run reads the archive again"));
  EXPECT_TRUE(std::filesystem::exists(archive));
  std::filesystem::remove(prepared);
  said.clear();
  EXPECT_EQ(default_corpus(events, SingleFile::kTrainsAndTests, {}, published).train.size(), 6);
  EXPECT_THAT(said, testing::Not(testing::HasSubstr("downloading")));
  EXPECT_FALSE(std::filesystem::exists(archive)) << "prepared, it is no longer needed";
  EXPECT_TRUE(std::filesystem::exists(prepared / "prepared.json"));
}

/// Of two processes one downloads and prepares; a cache that is damaged is made anew.
TEST(DefaultCorpus, TheCacheIsMadeByOneProcess) {
  const TemporaryFolder folder;
  Environment environment;
  environment.set("REEL_DATA", "");
  environment.set("REEL_CACHE", folder.path());
  const PublishedArchive published{.url = "file://" + fixture("aclImdb.tar.gz").string(),
                                   .md5 = file_md5(fixture("aclImdb.tar.gz"))};
  const std::string name = fmt::format("imdb-{}", kPreparedFormat);
  std::string said;
  std::optional<FileLock> other(folder / "lock");
  const DefaultCorpusEvents events{.announce = [&](const std::string& line) {
    said += line + '\n';
    if (line.find("waiting") == std::string::npos) return;
    write_prepared(read_corpus(fixture("imdb.npz")), folder / name);
    other.reset();
  }};
  const auto corpus = [&] { return default_corpus(events, SingleFile::kTrainsAndTests, {}, published); };
  EXPECT_THAT(corpus().source, testing::HasSubstr("imdb.npz")) << "what the other one made";
  EXPECT_THAT(said, testing::HasSubstr("data: waiting for another process at " + folder.path().string()));
  said.clear();
  folder.write(name + "/tokens.safetensors", "damage");
  EXPECT_THAT(corpus().source, testing::HasSubstr("aclImdb_v1.tar.gz"));
  EXPECT_THAT(said, testing::HasSubstr(": made anew\n"));
  EXPECT_THAT(said, testing::Not(testing::HasSubstr("waiting")));
  // Where it cannot be made anew, other reviews would not do.
  folder.write(name + "/tokens.safetensors", "damage");
  const PublishedArchive nowhere{.url = "file:///nowhere"};
  expect_error([&] { default_corpus(events, SingleFile::kTrainsAndTests, {}, nowhere); }, {"tokens.safetensors"});
}

/// A folder that cannot be written, as one that is mounted so.
TEST(DefaultCorpus, AnArchiveInACacheThatCannotBeWrittenServes) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const TemporaryFolder folder;
  Environment environment;
  environment.set("REEL_DATA", "");
  environment.set("REEL_CACHE", folder.path());
  std::filesystem::copy_file(fixture("aclImdb.tar.gz"), folder / "aclImdb_v1.tar.gz");
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0555));
  const PublishedArchive published{.url = "file:///nowhere", .md5 = file_md5(fixture("aclImdb.tar.gz"))};
  const DefaultCorpusEvents events{.announce = [](const std::string&) {}};
  EXPECT_EQ(default_corpus(events, SingleFile::kTrainsAndTests, {}, published).train.size(), 6);
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
}

/// A home that cannot be searched, as of another user, is one without a cache.
TEST(DefaultCorpus, ACacheThatCannotBeSeenIsNone) {
  const TemporaryFolder folder;
  Environment environment;
  environment.set("REEL_DATA", "");
  std::filesystem::create_symlink("loop", folder / "loop");  // which root cannot follow either
  environment.set("REEL_CACHE", folder / "loop/cache");
  std::string said;
  const DefaultCorpusEvents events{.announce = [&](const std::string& line) { said += line + '\n'; }};
  EXPECT_EQ(default_corpus(events, SingleFile::kTrainsAndTests, {}, {.url = "file:///nowhere"}).source,
            "generated reviews");
  EXPECT_THAT(said, testing::HasSubstr("NOT IMDB"));
}

/// The same where the lock alone is in the way.
TEST(DefaultCorpus, AnArchiveBesideALockThatCannotBeMadeServes) {
  const TemporaryFolder folder;
  Environment environment;
  environment.set("REEL_DATA", "");
  environment.set("REEL_CACHE", folder.path());
  folder.write("lock/x", "a folder");
  std::filesystem::copy_file(fixture("aclImdb.tar.gz"), folder / "aclImdb_v1.tar.gz");
  const PublishedArchive published{.url = "file:///nowhere", .md5 = file_md5(fixture("aclImdb.tar.gz"))};
  const DefaultCorpusEvents events{.announce = [](const std::string&) {}};
  EXPECT_EQ(default_corpus(events, SingleFile::kTrainsAndTests, {}, published).train.size(), 6);
}

/// To evaluate, all rows of a single file are test, wherever its name is from.
TEST(DefaultCorpus, ASingleFileIsWhatItIsToBe) {
  const TemporaryFolder folder;
  Environment environment;
  environment.set("REEL_DATA", folder.write("rows.csv", "text,label\ngood,1\nbad,0\nbad,0\ngood,1\nfilm,0\n"));
  const DefaultCorpusEvents events{.announce = [](const std::string&) {}};
  EXPECT_EQ(default_corpus(events).test.size(), 1);
  EXPECT_EQ(default_corpus(events, SingleFile::kTests).test.size(), 5);
}

}  // namespace
}  // namespace reel
