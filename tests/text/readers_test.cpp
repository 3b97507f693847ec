#include "host/text/readers.h"

#include <cstdlib>

#include "host/files/archive.h"
#include "host/text/pickle.h"
#include "tests/support/support.h"

namespace reel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::vector<std::string> words_of(const Corpus& corpus, std::span<const std::int32_t> review) {
  std::vector<std::string> words;
  for (const std::int32_t rank : review)
    words.push_back(rank > static_cast<std::int32_t>(corpus.words.size())
                        ? "?" + corpus.test_only_words.at(static_cast<std::size_t>(rank) - corpus.words.size() - 1)
                        : corpus.words.at(static_cast<std::size_t>(rank) - 1));
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
  EXPECT_THAT(lines_of(corpus, corpus.test), UnorderedElementsAre("1 a joy a warm joy", "0 ?an ?unseen ?word dull"));
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

/// The pickle itself, every byte of it: in an npz the zip's checksum would refuse them all.
TEST(NpzErrors, ADamagedPickleNeverCrashes) {
  std::string npy;
  read_archive(
      fixture("imdb.npz"), [](const std::string& name) { return name == "x_train.npy"; },
      [&](const std::string&, std::string contents) { npy = std::move(contents); });
  const std::string whole = npy.substr(npy.find('\n') + 1);
  ASSERT_EQ(unpickle_lists(whole, "p").size(), 3u);
  int refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const int flip : {0x01, 0x55, 0x80, 0xFF}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      try {
        unpickle_lists(damaged, "p");
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), testing::StartsWith("p: "));
        ++refused;
      }
    }
    expect_error([&] { unpickle_lists(whole.substr(0, i), "p"); }, {"p: "});
  }
  EXPECT_GT(refused, 100);
}

/// A list that is referred to a million times is a million lists.
TEST(NpzErrors, AFewBytesAreNotManyIntegers) {
  std::string npy;
  read_archive(
      fixture("protocol3.npz"), [](const std::string& name) { return name == "x_train.npy"; },
      [&](const std::string&, std::string contents) { npy = std::move(contents); });
  // (state of ndarray.__setstate__: version, shape, dtype, fortran, items): a list of 1000 zeros, put and got 10000
  // times.
  std::string pickle =
      "\x80\x03"
      "cnumpy.core.multiarray\n_reconstruct\n)R(K\x01"
      "(M\x10\x27tN\x89](](";
  for (int i = 0; i < 1000; ++i) pickle += std::string("K\0", 2);
  pickle += "eq\x07";
  for (int i = 1; i < 10000; ++i) pickle += "h\x07";
  pickle += "etb.";
  expect_error([&] { unpickle_lists(pickle, "p"); }, {"p: more integers than the", "bytes of the pickle"});
}

TEST(NpzErrors, IntegersOfEveryKindAreRead) {
  const std::string begin =
      "\x80\x03"
      "cnumpy.core.multiarray\n_reconstruct\n)R(K\x01"
      "(K\x01tN\x89](](";
  const std::string integers =
      "K\x07"                      // BININT1
      "M\x2c\x01"                  // BININT2
      "J\xfe\xff\xff\xff"          // BININT
      "\x8a\x01\xff"               // LONG1, as short as it can be
      "\x8a\x02\x80\xff" +         // of two bytes
      std::string("\x8a\x00", 2);  // of none
  EXPECT_THAT(unpickle_lists(begin + integers + "eetb.", "p"), ElementsAre(ElementsAre(7, 300, -2, -1, -128, 0)));
  expect_error([&] { unpickle_lists("\x80\x02\x01", "p"); }, {"p: pickle opcode 0x01 at byte 2, which"});
}

/// What it remembers packs to next to nothing, and takes much memory.
TEST(NpzErrors, APickleDoesNotRememberEverything) {
  const std::string pickle = "\x80\x04]" + std::string((1 << 20) + 1, '\x94') + ".";
  expect_error([&] { unpickle_lists(pickle, "p"); }, {"p: a pickle that remembers more than 1048576 values"});
}

TEST(NpzErrors, WrongHeadersAreRefused) {
  const auto refuse = [](const std::string& header, const char* part) {
    const TemporaryFolder folder;
    const std::uint32_t size = static_cast<std::uint32_t>(header.size());
    folder.write("x_train.npy", "\x93NUMPY\x02" + std::string(1, '\0') +
                                    std::string(reinterpret_cast<const char*>(&size), sizeof size) + header);
    for (const char* name : {"y_train", "x_test", "y_test"}) folder.write(std::string(name) + ".npy", "x");
    ASSERT_EQ(std::system(("cd " + folder.path().string() + " && python3 -m zipfile -c imdb.npz *.npy").c_str()), 0);
    expect_error([&] { read_corpus(folder / "imdb.npz"); }, {part});
  };
  refuse("{'descr': '" + std::string(100000, 'x') + "', 'fortran_order': False, 'shape': (1,), }",
         "train: reviews of type xxx");
  refuse("{'descr': '|O', 'fortran_order': False, 'shape': (-1,), }", "expected a one-dimensional array");
  refuse("{'descr': '|O', 'fortran_order': False, 'shape': (1, 2), }", "expected a one-dimensional array");
  refuse("{'descr': '|O', 'fortran_order': True, 'shape': (1,), }", "expected a one-dimensional array");
}

TEST(AclImdb, IsOneDataSetOfFilesWithoutNotes) {
  const TemporaryFolder folder;
  const auto pack = [&](const std::string& more) {
    EXPECT_EQ(std::system(("cd " + folder.path().string() + " && rm -rf aclImdb && tar xzf " +
                           fixture("aclImdb.tar.gz").string() + " && " + more + " && tar czf all.tar.gz aclImdb")
                              .c_str()),
              0);
    return folder / "all.tar.gz";
  };
  EXPECT_EQ(read_corpus(pack("echo notes >aclImdb/train/pos/._0_9.txt")).train.size(), 6);
  expect_error([&] { read_corpus(pack("mkdir -p aclImdb/more/train/pos && echo x >aclImdb/more/train/pos/0_9.txt")); },
               {"reviews below", "expected one data set"});
}

TEST(NpzWords, ComeFromTheWordIndex) {
  const TemporaryFolder folder;
  const auto path = folder.write("imdb.npz", contents(fixture("imdb.npz")));
  std::string index = "{";
  for (int rank = 300; rank >= 1; --rank) index += fmt::format("\"w{}\": {}{}", rank, rank, rank > 1 ? ", " : "}");
  folder.write("imdb_word_index.json", index);
  EXPECT_EQ(read_corpus(path).words.at(6), "w7");
  EXPECT_EQ(read_corpus(path).words.at(69999), "<rank-70000>") << "a rank of the test split alone";
  folder.write("imdb_word_index.json", R"({"a\tb": 1})");
  expect_error([&] { read_corpus(path); }, {"\"a\\tb\" of rank 1, expected a word without tabs"});
  for (const char* rank : {"0", "-1", "3", "18446744073709551615", "1.5", "\"1\""}) {
    folder.write("imdb_word_index.json", std::string(R"({"a": 1, "b": )") + rank + "}");
    const std::string expected = std::string("rank ") + rank + " of \"b\", expected 1 to 2";
    expect_error([&] { read_corpus(path); }, {expected.c_str()});
  }
  folder.write("imdb_word_index.json", R"({"a": 1, "b": 1})");
  expect_error([&] { read_corpus(path); }, {"imdb_word_index.json", "same rank"});
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

TEST(Csv, AFolderTrainBesideItIsNoAclImdb) {
  const TemporaryFolder folder;
  folder.write("train/notes", "");
  folder.write("train.csv", "text,label\ngood,1\nbad,0\n");
  folder.write("test.csv", "text,label\ngood,1\n");
  EXPECT_EQ(read_corpus(folder.path()).train.size(), 2);
}

/// Drawn at random: a file may be sorted by its labels.
TEST(Csv, OneFileKeepsAFifthForTests) {
  const TemporaryFolder folder;
  std::string text = "text,label\n";
  for (int i = 0; i < 100; ++i) text += fmt::format("w{},{}\n", i, i / 50);
  const Corpus corpus = read_corpus(folder.write("all.csv", text));
  EXPECT_EQ(corpus.train.size(), 80);
  EXPECT_EQ(corpus.test.size(), 20);
  EXPECT_GT(std::ranges::count(corpus.test.labels, 0), 4);
  EXPECT_GT(std::ranges::count(corpus.test.labels, 1), 4);
  EXPECT_EQ(read_corpus(folder / "all.csv").test.ranks, corpus.test.ranks);
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
  expect("text,label\n\"x\"y,1\n", {"a.csv:2: expected a comma or the end of the line after a field"});
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
  expect("{\"text\": \"x\", \"label\": 1}\n{\"text\": \n", "a.jsonl:2: not JSON");
  expect("{\"text\": 5, \"label\": 1}", "a.jsonl:1: expected");
  expect("{\"text\": \"\\ud800\", \"label\": 1}", "surrogate U+D800..U+DBFF must be followed");
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
