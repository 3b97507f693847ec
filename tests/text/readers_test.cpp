#include "host/text/readers.h"

#include <cstdlib>

#include "tests/support/support.h"

namespace reel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::vector<std::string> words_of(const Corpus& corpus, std::span<const std::int32_t> review) {
  std::vector<std::string> words;
  for (const std::int32_t rank : review)
    words.push_back(rank == 0 ? "?" : corpus.words.at(static_cast<std::size_t>(rank) - 1));
  return words;
}

/// Every training review as "label words".
std::vector<std::string> lines_of(const Corpus& corpus, const Reviews& reviews) {
  std::vector<std::string> lines;
  for (std::int64_t i = 0; i < reviews.size(); ++i) {
    std::string line = std::to_string(reviews.labels[static_cast<std::size_t>(i)]);
    for (const std::string& word : words_of(corpus, reviews.review(i))) line += ' ' + word;
    lines.push_back(line);
  }
  return lines;
}

void expect_small_imdb(const Corpus& corpus) {
  EXPECT_THAT(lines_of(corpus, corpus.train),
              UnorderedElementsAre("1 a warm funny film br i loved it", "1 don't miss it the film is a joy",
                                   "1 é um film très joli", "0 a dull film i left early", "0",
                                   "0 the film is bad \uFFFD and it's long"));
  EXPECT_THAT(lines_of(corpus, corpus.test), UnorderedElementsAre("1 a joy a warm joy", "0 ? ? ? dull"));
  EXPECT_EQ(corpus.words.front(), "film");
  EXPECT_EQ(corpus.counts.front(), 5);
  EXPECT_EQ(corpus.invalid_utf8, 1);
  EXPECT_TRUE(corpus.source_checksum.starts_with("sha256:"));
}

TEST(AclImdb, ArchiveAndFolderGiveTheSameCorpus) {
  const Corpus archive = read_corpus(fixture("aclImdb.tar.gz"));
  expect_small_imdb(archive);
  const TemporaryFolder folder;
  ASSERT_EQ(std::system(("tar xzf " + fixture("aclImdb.tar.gz").string() + " -C " + folder.path().string()).c_str()),
            0);
  for (const auto& path : {folder.path(), folder / "aclImdb"}) {
    const Corpus unpacked = read_corpus(path);
    expect_small_imdb(unpacked);
    EXPECT_EQ(unpacked.words, archive.words);
    EXPECT_EQ(unpacked.train.ranks, archive.train.ranks);
    EXPECT_EQ(unpacked.train.labels, archive.train.labels);
  }
  std::filesystem::remove_all(folder / "aclImdb" / "test" / "neg");
  expect_error([&] { read_corpus(folder.path()); }, {"test/neg: cannot be read"});
}

class Npz : public testing::TestWithParam<const char*> {};

TEST_P(Npz, ReadsEveryPickleProtocol) {
  const Corpus corpus = read_corpus(fixture(GetParam()));
  ASSERT_EQ(corpus.train.size(), 3);
  EXPECT_THAT(corpus.train.review(0), ElementsAre(1, 2, 3));
  EXPECT_THAT(corpus.train.review(1), ElementsAre(4, 300, 2, 1));
  EXPECT_THAT(corpus.train.review(2), IsEmpty());
  EXPECT_THAT(corpus.train.labels, ElementsAre(1, 0, 1)) << "an npz keeps its order";
  EXPECT_THAT(corpus.test.review(0), ElementsAre(70000, 1));
  EXPECT_TRUE(corpus.words.empty());
  EXPECT_EQ(corpus.counts.size(), 70000u) << "ranks of both splits";
  EXPECT_EQ(corpus.counts[0], 2);
}
INSTANTIATE_TEST_SUITE_P(All, Npz, testing::Values("imdb.npz", "protocol3.npz", "protocol5.npz"));

TEST(NpzErrors, AreNamed) {
  expect_error([] { read_corpus(fixture("evil.npz")); }, {"evil.npz", "posix.system", "expected nothing but numpy"});
  expect_error([] { read_corpus(fixture("wrong_label.npz")); }, {"label 7 of review 1, expected 0 or 1"});
  expect_error([] { read_corpus(fixture("missing.npz")); }, {"no x_test.npy"});
}

TEST(NpzErrors, ADamagedPickleNeverCrashes) {
  const std::string whole = contents(fixture("imdb.npz"));
  const TemporaryFolder folder;
  for (std::size_t i = 0; i < whole.size(); i += 7) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    try {
      read_corpus(folder.write("imdb.npz", damaged));
    } catch (const Error&) {
    }
  }
}

TEST(NpzWords, ComeFromTheWordIndex) {
  const TemporaryFolder folder;
  const auto path = folder.write("imdb.npz", contents(fixture("imdb.npz")));
  std::string index = "{";
  for (int rank = 300; rank >= 1; --rank) index += fmt::format("\"w{}\": {}{}", rank, rank, rank > 1 ? ", " : "}");
  folder.write("imdb_word_index.json", index);
  EXPECT_EQ(read_corpus(path).words.at(6), "w7");
  EXPECT_EQ(read_corpus(path).words.at(69999), "<rank-70000>") << "a rank of the test split alone";
  folder.write("imdb_word_index.json", R"({"a": 1, "b": 1})");
  expect_error([&] { read_corpus(path); }, {"imdb_word_index.json", "same rank"});
  folder.write("imdb_word_index.json", R"({"a": 1, "b": 3})");
  expect_error([&] { read_corpus(path); }, {"rank 3 of 'b', expected 1 to 2"});
  folder.write("imdb_word_index.json", R"({"a": 1})");
  expect_error([&] { read_corpus(path); }, {"1 words, but", "ranks up to 300"});
}

TEST(Csv, ReadsQuotesNewlinesAndBothHeaders) {
  const TemporaryFolder folder;
  folder.write("train.csv", "review,sentiment\n\"good, \"\"very\"\"\ngood\",positive\r\nbad,negative\n\n,0\n");
  folder.write("test.csv", "\xEF\xBB\xBFid,label,text\n1,NEG,bad\n2,1,good");
  const Corpus corpus = read_corpus(folder.path());
  EXPECT_THAT(lines_of(corpus, corpus.train), UnorderedElementsAre("1 good very good", "0 bad", "0"));
  EXPECT_THAT(lines_of(corpus, corpus.test), UnorderedElementsAre("0 bad", "1 good"));
  EXPECT_EQ(read_corpus(folder / "train.csv", folder / "test.csv").train.ranks, corpus.train.ranks);
}

TEST(Csv, OneFileKeepsItsLastFifthForTests) {
  const TemporaryFolder folder;
  std::string text = "text,label\n";
  for (int i = 0; i < 10; ++i) text += fmt::format("w{},{}\n", i, i % 2);
  const Corpus corpus = read_corpus(folder.write("all.csv", text));
  EXPECT_EQ(corpus.train.size(), 8);
  EXPECT_EQ(corpus.test.size(), 2);
}

TEST(Csv, ErrorsNameTheLine) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::string& text, std::initializer_list<const char*> parts) {
    expect_error([&] { read_corpus(folder.write("a.csv", text)); }, parts);
  };
  expect("a,b\n1,2\n", {"a.csv: no column 'review' or 'text'"});
  expect("text,label\n\"x\ny\",1\nx,maybe\n", {"a.csv:4: label 'maybe', expected 0, 1"});
  expect("text,label\nx,1,2\n", {"a.csv:2: 3 fields, expected 2"});
  expect("text,label\n\"x,1\n", {"a.csv:2: quoted field without a closing quote"});
  expect("text,label\n\"x\"y,1\n", {"a.csv:2: text after a closing quote"});
  expect("text,label\n", {"a.csv: no reviews"});
}

TEST(JsonLines, ReadsBothSplits) {
  const TemporaryFolder folder;
  folder.write("train.jsonl",
               "{\"text\": \"good\\nfilm\", \"label\": 1}\n\n{\"text\": \"b\xFF\", \"label\": \"neg\"}\n");
  folder.write("test.jsonl", "{\"label\": false, \"text\": \"film\"}");
  const Corpus corpus = read_corpus(folder.path());
  EXPECT_THAT(lines_of(corpus, corpus.train), UnorderedElementsAre("1 good film", "0 b\uFFFD"));
  EXPECT_THAT(lines_of(corpus, corpus.test), ElementsAre("0 film"));
  EXPECT_EQ(corpus.invalid_utf8, 1);
  const auto expect = [&](const std::string& text, const char* part) {
    expect_error([&] { read_corpus(folder.write("a.jsonl", text)); }, {part});
  };
  expect("{\"text\": \"x\", \"label\": 1}\n{\"text\": \n", "a.jsonl:2: expected {\"text\"");
  expect("{\"text\": 5, \"label\": 1}", "a.jsonl:1: expected");
  expect("{\"text\": \"x\", \"label\": 2}", "a.jsonl:1: label '2'");
}

TEST(ReadCorpus, SaysWhatItExpected) {
  const TemporaryFolder folder;
  expect_error([&] { read_corpus(folder / "none"); }, {"none: no such file or folder"});
  expect_error([&] { read_corpus(folder.path()); }, {"no data set that Reel knows", "aclImdb_v1.tar.gz"});
  expect_error([&] { read_corpus(folder.write("empty", "")); }, {"the file is empty"});
  expect_error([&] { read_corpus(folder.write("binary", "\x01\x02\x03")); }, {"not a data set that Reel knows"});
  const std::string archive = contents(fixture("aclImdb.tar.gz"));
  expect_error([&] { read_corpus(folder.write("cut.tar.gz", archive.substr(0, archive.size() / 2))); },
               {"cut.tar.gz", "damaged archive"});
}

}  // namespace
}  // namespace reel
