// The facts that are known of the real IMDB reviews.
#include <algorithm>
#include <unordered_set>

#include "host/files/archive.h"
#include "host/text/dataset.h"
#include "host/text/tokenizer.h"
#include "tests/support/support.h"

namespace reel {
namespace {

std::vector<std::int64_t> lengths_with_start(const Reviews& reviews) {
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i < reviews.size(); ++i) {
    lengths.push_back(static_cast<std::int64_t>(reviews.review(i).size()) + 1);
  }
  std::ranges::sort(lengths);
  return lengths;
}

void expect_imdb(const Corpus& corpus) {
  ASSERT_EQ(corpus.train.size(), 25000);
  ASSERT_EQ(corpus.test.size(), 25000);
  EXPECT_EQ(std::ranges::count(corpus.train.labels, 1), 12500);
  EXPECT_EQ(std::ranges::count(corpus.test.labels, 1), 12500);
  ASSERT_EQ(corpus.words.size(), 88582u);
  const std::vector<std::pair<std::string, std::int64_t>> frequent = {
      {"the", 336148}, {"and", 164097},  {"a", 163040},  {"of", 145847},  {"to", 135708},
      {"is", 107313},  {"br", 101871},   {"in", 93934},  {"it", 79058},   {"i", 77142},
      {"this", 75974}, {"that", 69787},  {"was", 48195}, {"as", 46927},   {"for", 44335},
      {"with", 44122}, {"movie", 43564}, {"but", 42594}, {"film", 39095}, {"on", 34188}};
  for (std::size_t i = 0; i < frequent.size(); ++i) {
    EXPECT_EQ(corpus.words[i], frequent[i].first);
    EXPECT_EQ(corpus.counts[i], frequent[i].second) << frequent[i].first;
  }
  const std::vector<std::int64_t> lengths = lengths_with_start(corpus.train);
  const double mean = static_cast<double>(corpus.train.ranks.size()) / 25000 + 1;
  EXPECT_NEAR(mean, 238.714, 0.0005);
  EXPECT_EQ(lengths[12500], 178);
  EXPECT_EQ(lengths[22500], 467);
  const auto shorter = std::ranges::lower_bound(lengths, 200) - lengths.begin();
  EXPECT_NEAR(static_cast<double>(shorter) / 25000, 0.5698, 0.00005);
}

TEST(RealData, ArchiveHasTheKnownFactsAndTheNpzTheSameWords) {
  REEL_REQUIRE_DATA(data);
  const Corpus archive = read_corpus(data / "aclImdb_v1.tar.gz");
  expect_imdb(archive);
  const Corpus npz = read_corpus(data / "imdb.npz");
  expect_imdb(npz);
  EXPECT_EQ(archive.words, npz.words) << "ties included";
  EXPECT_EQ(archive.counts, npz.counts);
  // Words that the training reviews lack come last in the archive's corpus; the npz leaves them out.
  const auto words = static_cast<std::int32_t>(archive.words.size());
  const auto known = static_cast<std::size_t>(
      std::ranges::count_if(archive.test.ranks, [&](std::int32_t rank) { return rank <= words; }));
  EXPECT_EQ(known, npz.test.ranks.size());

  const TemporaryFolder folder;
  write_prepared(archive, folder / "prepared");
  const Corpus prepared = read_corpus(folder / "prepared");
  expect_imdb(prepared);
  EXPECT_EQ(prepared.train.ranks, archive.train.ranks);
  EXPECT_EQ(prepared.test.ranks, archive.test.ranks);
}

TEST(RealData, BothSplitsTogetherHave124252Words) {
  REEL_REQUIRE_DATA(data);
  std::unordered_set<std::string> words;
  read_archive(
      data / "aclImdb_v1.tar.gz",
      [](const std::string& name) {
        return name.find("/pos/") != std::string::npos || name.find("/neg/") != std::string::npos;
      },
      [&](const std::string&, const std::string& text) {
        for_each_word(text, [&](std::string_view word) { words.emplace(word); });
      });
  EXPECT_EQ(words.size(), 124252u);
}

TEST(RealData, TheUnpackedFolderGivesTheSameWords) {
  REEL_REQUIRE_DATA(data);
  const TemporaryFolder folder;
  const std::string archive = (data / "aclImdb_v1.tar.gz").string();
  ASSERT_EQ(std::system(("tar xzf '" + archive + "' -C '" + folder.path().string() + "'").c_str()), 0);
  expect_imdb(read_corpus(folder.path()));
}

}  // namespace
}  // namespace reel
