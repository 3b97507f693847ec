// Keras' imdb.npz, its pickles and its word index.
#include <cstdlib>

#include "host/files/archive.h"
#include "host/text/pickle.h"
#include "host/text/readers.h"
#include "tests/support/support.h"

namespace reel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

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
  expect_error([] { read_corpus(fixture("wrong_label.npz")); }, {"label 7 of review 2, expected 0 or 1"});
  expect_error([] { read_corpus(fixture("missing.npz")); }, {"no x_test.npy"});
  expect_error([] { read_corpus(fixture("wordless.npz")); }, {"wordless.npz: no word in its training reviews"});
  expect_error([] { read_corpus(fixture("few_labels.npz")); }, {"few_labels.npz: train: 3 reviews, but 2 labels"});
}

TEST(NpzErrors, AZipEndsInItsRecord) {
  const TemporaryFolder folder;
  const std::string whole = contents(fixture("imdb.npz"));
  for (const std::size_t cut : {1u, 10u, 22u, 100u}) {
    folder.write("imdb.npz", whole.substr(0, whole.size() - cut));
    expect_error([&] { read_corpus(folder / "imdb.npz"); }, {"imdb.npz: cut off: no end of a zip archive"});
  }
  folder.write("imdb.npz", whole + "x");
  expect_error([&] { read_corpus(folder / "imdb.npz"); }, {"imdb.npz: cut off, something else after its end"});
  const std::string comment = "as it may have";
  std::string commented = whole + comment;
  commented[whole.size() - 2] = static_cast<char>(comment.size());
  folder.write("imdb.npz", commented);
  EXPECT_EQ(read_corpus(folder / "imdb.npz").train.size(), 3);
  for (const std::size_t length : {16361u, 16362u}) {
    std::string wordy = whole + std::string(length, 'x');
    wordy[whole.size() - 2] = static_cast<char>(length % 256);
    wordy[whole.size() - 1] = static_cast<char>(length / 256);
    folder.write("imdb.npz", wordy);
    if (length < 16362) {
      EXPECT_EQ(read_corpus(folder / "imdb.npz").train.size(), 3);
    } else {
      expect_error([&] { read_corpus(folder / "imdb.npz"); },
                   {"imdb.npz: expected a comment of less than 16362 bytes"});
    }
  }
  std::string damaged = whole;
  damaged[damaged.rfind("PK\x01\x02")] = 'Q';  // of the directory's last entry
  folder.write("imdb.npz", damaged);
  expect_error([&] { read_corpus(folder / "imdb.npz"); }, {"imdb.npz: damaged archive: "});
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

/// A list takes more memory than a value.
TEST(NpzErrors, APickleHasNotAnyNumberOfLists) {
  const std::string pickle = "\x80\x04" + std::string((1 << 20) + 1, ']') + ".";
  expect_error([&] { unpickle_lists(pickle, "p"); }, {"p: a pickle of more than 1048576 lists, texts and arrays"});
  const std::string values = "\x80\x04" + std::string((1 << 24) + 1, 'N') + ".";
  expect_error([&] { unpickle_lists(values, "p"); }, {"p: a pickle of more than 16777216 values"});
}

TEST(NpzErrors, ElementsAreIntegers) {
  const std::string begin =
      "\x80\x03"
      "cnumpy.core.multiarray\n_reconstruct\n)R(K\x01"
      "(K\x01tN\x89](](K\x05";
  for (const char* element : {"N", "\x8c\x01x", "]"}) {
    expect_error([&] { unpickle_lists(begin + element + "eetb.", "p"); },
                 {"p: list 1 holds something other than integers"});
  }
  expect_error([&] { unpickle_lists(begin.substr(0, begin.size() - 4) + "K\x05" + "etb.", "p"); },
               {"p: review 1 is none of the lists of integers"});
}

TEST(NpzErrors, NamesAreTexts) {
  for (const char* names : {"K\x05\x8c\x01x", "\x8c\x01xK\x05", "]\x8c\x01x", "\x8c\x01x]"}) {
    expect_error([&] { unpickle_lists(std::string("\x80\x04") + names + "\x93.", "p"); }, {"p: damaged pickle near"});
  }
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
  refuse("{'descr': '|O', 'fortran_order': False, 'shape': (1x,), }", "expected a one-dimensional array");
  refuse("{'descr': '|O', 'fortran_order': True, 'shape': (1,), }", "expected a one-dimensional array");
  refuse("{'descr': '\xff', 'shape': (1, 2), }",
         "expected a one-dimensional array, found \"{'descr': '\\ufffd', 'shape'");
}

TEST(NpzWords, ComeFromTheWordIndex) {
  const TemporaryFolder folder;
  const auto path = folder.write("imdb.npz", contents(fixture("imdb.npz")));
  std::string index = "{";
  for (int rank = 300; rank >= 1; --rank) index += fmt::format("\"w{}\": {}{}", rank, rank, rank > 1 ? ", " : "}");
  folder.write("imdb_word_index.json", index);
  EXPECT_EQ(read_corpus(path).words.at(6), "w7");
  const Corpus corpus = read_corpus(path);
  EXPECT_EQ(corpus.words.size(), 300u);
  EXPECT_EQ(std::ranges::count(corpus.test.ranks, 0), 1) << "a rank of the test split that the index lacks: unknown";
  folder.write("imdb_word_index.json", R"({"<pad>": 1})");
  expect_error([&] { read_corpus(path); }, {"\"<pad>\" of rank 1, expected a word", "none of Reel's own names"});
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

}  // namespace
}  // namespace reel
