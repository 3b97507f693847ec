#include "host/files/archive.h"

#include <cstdlib>
#include <map>

#include "tests/support/support.h"

namespace reel {
namespace {

std::map<std::string, std::string> read_all(const std::filesystem::path& path, const std::string& suffix = "") {
  std::map<std::string, std::string> files;
  read_archive(
      path, [&](const std::string& name) { return name.ends_with(suffix); },
      [&](const std::string& name, std::string text) { files[name] = std::move(text); });
  return files;
}

TEST(Archive, ReadsTheWantedFilesOfATarGz) {
  const auto files = read_all(fixture("aclImdb.tar.gz"), "pos/0_9.txt");
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files.at("aclImdb/train/pos/0_9.txt"), "A warm, funny film.<br />I loved it!");
}

TEST(Archive, ReadsAZip) { EXPECT_TRUE(read_all(fixture("imdb.npz")).at("y_test.npy").starts_with("\x93NUMPY")); }

TEST(Archive, ATruncatedOneIsAnError) {
  const TemporaryFolder folder;
  for (const char* name : {"aclImdb.tar.gz", "imdb.npz"}) {
    const std::string whole = contents(fixture(name));
    for (const std::size_t size : {whole.size() / 3, whole.size() / 2, std::size_t{20}}) {
      const auto path = folder.write("cut", whole.substr(0, size));
      expect_error([&] { read_all(path); }, {"cut"});
    }
  }
}

/// Of a flipped bit in text that is stored as it is, the checksum alone tells.
TEST(Archive, ThatFailsItsChecksumIsDamaged) {
  const TemporaryFolder folder;
  folder.write("a.txt", "a great film");
  ASSERT_EQ(std::system(("cd " + folder.path().string() +
                         " && tar cf a.tar a.txt && gzip -1 <a.tar >a.tgz && cat a.tgz a.tgz >twice.tgz && "
                         "head -c 512 a.tar | gzip >half.tgz && tail -c +513 a.tar | gzip >>half.tgz")
                            .c_str()),
            0);
  EXPECT_EQ(read_all(folder / "half.tgz")["a.txt"], "a great film") << "packed in two parts";
  expect_error([&] { read_all(folder / "twice.tgz"); }, {"twice.tgz: ", "something else after its end"});
  std::string packed = contents(folder / "a.tgz");
  folder.write("zeros.tgz", packed + std::string(100, '\0'));
  EXPECT_EQ(read_all(folder / "zeros.tgz").size(), 1u) << "as tapes fill up";
  folder.write("more.tgz", packed + "more");
  expect_error([&] { read_all(folder / "more.tgz"); }, {"more.tgz: ", "something else after its end"});
  packed[packed.size() - 8] ^= 1;
  folder.write("wrong.tgz", packed);
  expect_error([&] { read_all(folder / "wrong.tgz"); }, {"wrong.tgz: ", "incorrect data check"});
  ASSERT_EQ(
      std::system(
          ("cd " + folder.path().string() + " && head -c 200000 /dev/zero >>a.tar && gzip -1 <a.tar >b.tgz").c_str()),
      0);
  std::string long_end = contents(folder / "b.tgz");
  EXPECT_EQ(read_all(folder / "b.tgz").size(), 1u);
  long_end[long_end.size() - 8] ^= 1;
  folder.write("b.tgz", long_end);
  expect_error([&] { read_all(folder / "b.tgz"); }, {"b.tgz: ", "incorrect data check"});
  packed[packed.size() - 8] ^= 1;
  folder.write("short.tgz", packed.substr(0, packed.size() - 4));
  expect_error([&] { read_all(folder / "short.tgz"); }, {"short.tgz: ", "ends early"});
}

/// Between two files a cut shows by nothing but the end that is missing.
TEST(Archive, WithoutItsEndIsDamaged) {
  const TemporaryFolder folder;
  folder.write("a.txt", "text");
  folder.write("b.txt", "text");
  ASSERT_EQ(
      std::system(
          ("cd " + folder.path().string() +
           " && tar cf whole.tar a.txt b.txt && head -c 1024 whole.tar >cut.tar && head -c 2560 whole.tar >end.tar")
              .c_str()),
      0);
  EXPECT_EQ(read_all(folder / "whole.tar").size(), 2u);
  EXPECT_EQ(read_all(folder / "end.tar").size(), 2u) << "one block of zeros is enough";
  expect_error([&] { read_all(folder / "cut.tar"); }, {"cut.tar: cut off: no end of a tar archive"});
  for (const std::string& more : {std::string("\n"), contents(folder / "whole.tar"), std::string(70000, 'x')}) {
    folder.write("more.tar", contents(folder / "whole.tar") + more);
    expect_error([&] { read_all(folder / "more.tar"); }, {"more.tar: something else after its end"});
  }
}

/// Each packer has its own end.
TEST(Archive, GarbageBehindWhatIsPackedIsSeen) {
  const TemporaryFolder folder;
  folder.write("a.txt", "text");
  for (const char* flag : {"z", "j", "J"}) {
    ASSERT_EQ(std::system(("cd " + folder.path().string() + " && tar c" + flag + "f a a.txt").c_str()), 0);
    EXPECT_EQ(read_all(folder / "a").size(), 1u) << flag;
    folder.write("zeros", contents(folder / "a") + std::string(4, '\0'));
    EXPECT_EQ(read_all(folder / "zeros").size(), 1u) << flag;
    folder.write("more", contents(folder / "a") + std::string(4 << 10, 'x'));
    expect_error([&] { read_all(folder / "more"); }, {"more: "});
  }
}

/// libarchive takes an error where a second block of zeros might be for an end.
TEST(Archive, GarbageBehindABlockOfZerosIsSeen) {
  const TemporaryFolder folder;
  folder.write("a.txt", std::string(63 << 10, 'x'));  // the first block of zeros ends at 64 KB
  ASSERT_EQ(std::system(("cd " + folder.path().string() +
                         " && tar cf a.tar a.txt && head -c 66048 a.tar | gzip >a.tgz && echo garbage >>a.tgz")
                            .c_str()),
            0);
  expect_error([&] { read_all(folder / "a.tgz"); }, {"a.tgz: ", "something else after its end"});
}

TEST(Archive, IsKnownByItsBeginning) {
  const TemporaryFolder folder;
  folder.write("PK.txt", "text");
  ASSERT_EQ(std::system(("cd " + folder.path().string() + " && tar cf v7.tar --format=v7 PK.txt").c_str()), 0);
  EXPECT_TRUE(may_be_tar(contents(folder / "v7.tar").substr(0, 512)));
  EXPECT_FALSE(is_zip(contents(folder / "v7.tar")));
  EXPECT_EQ(read_all(folder / "v7.tar").size(), 1u);
  EXPECT_FALSE(may_be_tar(std::string(512, '\0')));
  EXPECT_FALSE(may_be_tar("text,label\n" + std::string(600, 'x')));
  EXPECT_TRUE(is_zip(contents(fixture("imdb.npz"))));
}

/// A sparse file is nothing but a length.
TEST(Archive, ASmallOneDoesNotFillTheMemory) {
  const TemporaryFolder folder;
  ASSERT_EQ(std::system(("cd " + folder.path().string() +
                         " && truncate -s 3G large && tar -czSf hole.tar.gz large && echo end >>large && tar -czSf "
                         "sparse.tar.gz large && head -c 64M /dev/zero >zeros && gzip zeros && "
                         "tar -cf plain.tar zeros.gz")
                            .c_str()),
            0);
  EXPECT_LT(std::filesystem::file_size(folder / "sparse.tar.gz"), 1000u);
  expect_error([&] { read_all(folder / "sparse.tar.gz"); }, {"sparse.tar.gz: large: unpacks to more than", "bytes"});
  expect_error([&] { read_all(folder / "hole.tar.gz"); }, {"hole.tar.gz: large: 0 of 3221225472 bytes"});
  EXPECT_EQ(read_all(folder / "plain.tar").size(), 1u);
}

/// What nobody wants is unpacked too: a bomb could hide there.
TEST(Archive, SkippedFilesCountToo) {
  const TemporaryFolder folder;
  folder.write("a.txt", "text");
  ASSERT_EQ(std::system(("cd " + folder.path().string() +
                         " && head -c 64M /dev/zero >zeros && tar cJf bomb.tar.xz zeros a.txt && rm zeros")
                            .c_str()),
            0);
  expect_error([&] { read_all(folder / "bomb.tar.xz", "a.txt"); }, {"bomb.tar.xz: zeros: unpacks to more than"});
}

/// Nor what is said of files that hold nothing: 100 names of a million letters.
TEST(Archive, NamesCountToo) {
  if (std::system("command -v python3 >/dev/null") != 0) GTEST_SKIP() << "needs python3";
  const TemporaryFolder folder;
  ASSERT_EQ(std::system(("cd " + folder.path().string() +
                         " && python3 -c \"import tarfile; t = tarfile.open('names.tar.gz', 'w:gz', "
                         "format=tarfile.PAX_FORMAT); [t.addfile(tarfile.TarInfo('A' * 1000000 + str(i))) for i in "
                         "range(100)]; t.close()\"")
                            .c_str()),
            0);
  EXPECT_LT(std::filesystem::file_size(folder / "names.tar.gz"), 300000u);
  expect_error([&] { read_all(folder / "names.tar.gz"); }, {"names.tar.gz: unpacks to more than"});
}

/// Nor the map of a sparse file, of which libarchive keeps ten times what it reads.
TEST(Archive, MapsOfSparseFilesHaveAnEnd) {
  if (std::system("command -v python3 >/dev/null") != 0) GTEST_SKIP() << "needs python3";
  const TemporaryFolder folder;
  const char* const script =
      "import io, tarfile\n"
      "info = tarfile.TarInfo('a')\n"
      "info.pax_headers = {'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '1'}\n"
      "data = (b'1000000\\n' + b'0\\n0\\n' * 1000000).ljust(4000256, b'\\0')\n"
      "info.size = len(data)\n"
      "with tarfile.open('map.tar.gz', 'w:gz', format=tarfile.PAX_FORMAT) as t: t.addfile(info, io.BytesIO(data))\n";
  folder.write("map.py", script);
  ASSERT_EQ(std::system(("cd " + folder.path().string() + " && python3 map.py").c_str()), 0);
  EXPECT_LT(std::filesystem::file_size(folder / "map.tar.gz"), 10000u);
  expect_error([&] { read_all(folder / "map.tar.gz"); }, {"map.tar.gz: more than 1048576 bytes before a file"});
}

/// libarchive would start lrzip, lzop and grzip, and unpack what was packed twice.
TEST(Archive, StartsNoProgram) {
  const TemporaryFolder folder;
  folder.write("lrzip", "#!/bin/sh\ntouch " + (folder / "started").string() + "\n");
  std::filesystem::permissions(folder / "lrzip", std::filesystem::perms::owner_all);
  folder.write("inner", "LRZI" + std::string(1000, 'x'));
  ASSERT_EQ(
      std::system(
          ("cd " + folder.path().string() +
           " && gzip -k inner && mv inner.gz packed.gz && "
           "tar cf twice.tar packed.gz && gzip twice.tar && mv twice.tar.gz inner.tgz && gzip -c inner.tgz >twice")
              .c_str()),
      0);
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", (folder.path().string() + ":" + path).c_str(), 1);
  expect_error([&] { read_all(folder / "packed.gz"); }, {"packed.gz"});
  expect_error([&] { read_all(folder / "inner"); }, {"inner"});
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_FALSE(std::filesystem::exists(folder / "started"));
  expect_error([&] { read_all(folder / "twice"); }, {"twice"});
}

TEST(Archive, ALinkIsNoFile) {
  const TemporaryFolder folder;
  folder.write("a.txt", "text");
  ASSERT_EQ(std::system(("cd " + folder.path().string() +
                         " && ln -s a.txt symbolic.txt && ln a.txt hard.txt && ln -s . folder && tar cf s.tar "
                         "symbolic.txt && tar cf h.tar a.txt hard.txt && tar cf f.tar a.txt folder")
                            .c_str()),
            0);
  expect_error([&] { read_all(folder / "s.tar"); }, {"s.tar: symbolic.txt: a link, expected files and folders alone"});
  expect_error([&] { read_all(folder / "h.tar"); }, {"h.tar: hard.txt: a link, expected files and folders alone"});
  expect_error([&] { read_all(folder / "f.tar", "a.txt"); }, {"f.tar: folder: a link"});
}

TEST(Archive, ATextIsNoArchive) {
  const TemporaryFolder folder;
  expect_error([&] { read_all(folder.write("text", "just some text, long enough to be looked at")); }, {"text"});
}

}  // namespace
}  // namespace reel
