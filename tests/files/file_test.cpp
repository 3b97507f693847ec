#include "host/files/file.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <sys/resource.h>

#include <csignal>

#include "host/files/checksum.h"
#include "host/files/download.h"
#include "tests/support/support.h"

namespace reel {
namespace {

std::size_t files_in(const TemporaryFolder& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder.path()), {}));
}

TEST(File, ReadsWhatWasWritten) {
  const TemporaryFolder folder;
  std::string text = "one\ntwo";
  text += '\0';
  write_file(folder / "a", text);
  EXPECT_EQ(read_file(folder / "a"), text);
  EXPECT_EQ(read_file(folder / "a", 3), "one");
  std::string blocks;
  read_blocks(folder / "a", [&](std::string_view block) { blocks += block; });
  EXPECT_EQ(blocks, text);
  EXPECT_EQ(read_file(folder.write("empty", "")), "");
  EXPECT_EQ(files_in(folder), 2u) << "a temporary file was left";
}

TEST(File, NamesWhatCannotBeRead) {
  const TemporaryFolder folder;
  expect_error([&] { read_file(folder / "none"); }, {"none: cannot be read: No such file"});
  expect_error([&] { read_file(folder.path()); }, {"is a folder, expected a file"});
  expect_error([&] { write_file(folder / "none" / "file", ""); }, {"none/file: cannot be written"});
}

/// They would lose what was read first, wait for ever, or never end.
TEST(File, PipesAndDevicesAreRefused) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("/dev/zero", folder / "zero");
  for (const char* name : {"pipe", "zero"}) {
    const std::string expected = std::string(name) + ": is no regular file, expected one";
    expect_error([&] { read_file(folder / name, kSignatureBytes); }, {expected.c_str()});
    expect_error([&] { read_file(folder / name); }, {expected.c_str()});
    expect_error([&] { read_blocks(folder / name, [](std::string_view) {}); }, {expected.c_str()});
  }
}

TEST(File, FoldersAreMadeWithThoseAround) {
  const TemporaryFolder folder;
  for (const char* path : {"a/b/c", "d/e/", "d/e/f/"}) {
    create_folders(folder / path);
    EXPECT_TRUE(std::filesystem::is_directory(folder / path)) << path;
  }
  folder.write("file", "");
  expect_error([&] { create_folders(folder / "file/x"); }, {"file"});
}

TEST(File, KeepsTheOldFileUntilCommit) {
  const TemporaryFolder folder;
  write_file(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new");
  }
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_EQ(files_in(folder), 1u);
}

/// A process that ends at once takes its temporary files with it, and nothing that has their names since.
TEST(File, WhatIsCommittedIsNoLongerTemporary) {
  const TemporaryFolder folder;
  const auto end_at_once = [&] {
    AtomicFile committed(folder / "a"), unfinished(folder / "b");
    std::filesystem::path name;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      if (entry.path().filename().string().starts_with("a.tmp-")) name = entry.path();
    }
    committed.commit();
    folder.write(name.filename(), "somebody else's");
    AtomicFile::abandon_all();
    ::_exit(0);
  };
  EXPECT_EXIT(end_at_once(), testing::ExitedWithCode(0), "");
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    left.push_back(entry.path().filename().string().substr(0, 6));
  }
  EXPECT_THAT(left, testing::UnorderedElementsAre("a", "a.tmp-"));
}

TEST(File, WhatKilledWritersLeftBehindCanBeRemoved) {
  const TemporaryFolder folder;
  write_file(folder / "a", "kept");
  for (const char* name : {"a.tmp-Xy01zZ", "a.tmp-000000"}) folder.write(name, "");
  for (const char* name : {"a.backup", "a.tmp-seven77", "b.tmp-Xy01zZ", "a.tmp-five5", "a.tmp-folder/x"}) {
    folder.write(name, "");
  }
  AtomicFile::remove_abandoned(folder / "a");
  EXPECT_EQ(read_file(folder / "a"), "kept");
  EXPECT_EQ(files_in(folder), 6u) << "a, and the last five";
  AtomicFile::remove_abandoned(folder / "none" / "a");
}

TEST(File, AFullDiskIsAnErrorAndLosesNothing) {
  const TemporaryFolder folder;
  write_file(folder / "a", "old");
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 100, .rlim_max = before.rlim_max};  // a write past it fails, as on a full disk
  setrlimit(RLIMIT_FSIZE, &small);
  expect_error([&] { write_file(folder / "a", std::string(200, 'x')); }, {"a: cannot be written: File too large"});
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_EQ(files_in(folder), 1u);
}

// FIPS 180-2 and RFC 1321 give these digests of "abc".
TEST(Checksum, KnownDigests) {
  Checksum sha256;
  sha256.add("a");
  sha256.add("bc");
  EXPECT_EQ(sha256.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Checksum md5(Checksum::Algorithm::kMd5);
  md5.add("abc");
  EXPECT_EQ(md5.hex(), "900150983cd24fb0d6963f7d28e17f72");
}

// libcurl reads file:// URLs too: no network needed.
TEST(Download, KeepsTheFileOnlyWhenItsChecksumIsRight) {
  const TemporaryFolder folder;
  const std::string url = "file://" + folder.write("source", "abc").string();
  download({.url = url, .md5 = "900150983cd24fb0d6963f7d28e17f72"}, folder / "good");
  EXPECT_EQ(contents(folder / "good"), "abc");
  expect_error([&] { download({.url = url, .md5 = "0"}, folder / "bad"); }, {"has md5 9001", "expected 0"});
  expect_error([&] { download({.url = url + "x", .md5 = "0"}, folder / "bad"); }, {"download failed"});
  EXPECT_EQ(files_in(folder), 2u);
}

}  // namespace
}  // namespace reel
