#include "host/files/archive.h"

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

TEST(Archive, ATextIsNoArchive) {
  const TemporaryFolder folder;
  expect_error([&] { read_all(folder.write("text", "just some text, long enough to be looked at")); }, {"text"});
}

}  // namespace
}  // namespace reel
