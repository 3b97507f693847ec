#include <algorithm>

#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/text/vocabulary.h"
#include "tests/support/support.h"

namespace reel {
namespace {

TEST(Prepared, ReadsWhatItWrote) {
  const TemporaryFolder folder;
  const Corpus corpus = read_corpus(fixture("aclImdb.tar.gz"));
  write_prepared(corpus, folder / "prepared");
  const Corpus read = read_corpus(folder / "prepared");
  EXPECT_EQ(read.source, corpus.source);
  EXPECT_EQ(read.source_checksum, corpus.source_checksum);
  EXPECT_EQ(read.words, corpus.words);
  EXPECT_EQ(read.counts, corpus.counts);
  EXPECT_EQ(read.test_only_words, corpus.test_only_words);
  EXPECT_EQ(corpus.test_only_words.size(), 3u);
  EXPECT_EQ(read.invalid_utf8, 1);
  EXPECT_EQ(read.train.ranks, corpus.train.ranks);
  EXPECT_EQ(read.train.begin, corpus.train.begin);
  EXPECT_EQ(read.train.labels, corpus.train.labels);
  EXPECT_EQ(read.test.ranks, corpus.test.ranks);
}

TEST(Prepared, KeepsRanksThatOnlyTheTestSplitHas) {
  const TemporaryFolder folder;
  const Corpus corpus = read_corpus(fixture("imdb.npz"));
  write_prepared(corpus, folder / "prepared");
  const Corpus read = read_corpus(folder / "prepared");
  EXPECT_TRUE(read.words.empty()) << "the source has no word list";
  EXPECT_EQ(read.counts, corpus.counts);
  EXPECT_EQ(read.test.ranks, corpus.test.ranks);
}

TEST(Prepared, DamageIsNamed) {
  const TemporaryFolder folder;
  const auto path = folder / "prepared";
  const Corpus corpus = read_corpus(fixture("aclImdb.tar.gz"));
  write_prepared(corpus, path);
  folder.write("prepared/prepared.json", R"({"reel_prepared": 1})");
  expect_error([&] { read_corpus(path); }, {"prepared.json: format 1, expected 5 or 6: prepare the data again"});
  folder.write("prepared/prepared.json", "{");
  expect_error([&] { read_corpus(path); }, {"prepared.json: not JSON"});
  folder.write("prepared/prepared.json", "{}");
  expect_error([&] { read_corpus(path); }, {"not a prepared folder"});
  folder.write("prepared/prepared.json", R"({"reel_prepared": 6})");
  expect_error([&] { read_corpus(path); }, {"prepared.json", "source"});
  for (const char* more : {"", R"(, "invalid_utf8": "x")", R"(, "invalid_utf8": 9223372036854775808)"}) {
    folder.write("prepared/prepared.json",
                 std::string(R"({"reel_prepared": 6, "source": "one that is allocated, being long",
                                                          "source_checksum": "", "words": 2)") +
                     more + "}");
    expect_error([&] { read_corpus(path); }, {"prepared.json", "invalid_utf8"});
  }
  folder.write("prepared/prepared.json",
               R"({"reel_prepared": 6, "source": "", "source_checksum": "", "invalid_utf8": 0, "words": 6e33})");
  expect_error([&] { read_corpus(path); }, {"prepared.json: 'words' is 6e+33, expected a whole number"});
  folder.write("prepared/prepared.json",
               R"({"reel_prepared": 6, "source": "", "source_checksum": "", "invalid_utf8": 0, "words": -1})");
  expect_error([&] { read_corpus(path); }, {"prepared.json: -1 words, expected 0 or more"});
  write_prepared(corpus, path);
  folder.write("prepared/vocabulary.txt", "a\t3\nb\n");
  expect_error([&] { read_corpus(path); }, {"vocabulary.txt:2: expected word<TAB>count"});
  write_prepared(corpus, path);
  const std::string tokens = contents(path / "tokens.safetensors");
  folder.write("prepared/tokens.safetensors", tokens.substr(0, tokens.size() - 4));
  expect_error([&] { read_corpus(path); }, {"tokens.safetensors", "truncated"});
}

/// A label is still one.
TEST(Prepared, TokensThatChangedAreRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "prepared";
  write_prepared(read_corpus(fixture("aclImdb.tar.gz")), path);
  std::string tokens = contents(path / "tokens.safetensors");
  const std::size_t first_label = sizeof(std::uint64_t) + static_cast<unsigned char>(tokens[0]) +
                                  256u * static_cast<unsigned char>(tokens[1]);  // behind the header: of test.labels
  ASSERT_TRUE(tokens.at(first_label) == 0 || tokens[first_label] == 1);
  tokens[first_label] ^= 1;
  folder.write("prepared/tokens.safetensors", tokens);
  expect_error([&] { read_corpus(path); }, {"prepared: its files are not of one data set, or were changed"});
}

/// As two writers, or a reader beside a writer, would find them.
TEST(Prepared, FilesOfTwoDataSetsAreRefused) {
  const TemporaryFolder folder;
  folder.write("b.csv", "text,label\ngood,1\nbad,0\nbad,0\ngood,1\nfilm,0\n");
  const Corpus a = read_corpus(fixture("aclImdb.tar.gz")), b = read_corpus(folder / "b.csv");
  for (const char* file : {"tokens.safetensors", "vocabulary.txt", "prepared.json"}) {
    write_prepared(a, folder / "mixed");
    write_prepared(b, folder / "other");
    EXPECT_NO_THROW(read_corpus(folder / "mixed"));
    std::filesystem::copy_file(folder / "other" / file, folder / "mixed" / file,
                               std::filesystem::copy_options::overwrite_existing);
    EXPECT_THROW(read_corpus(folder / "mixed"), Error) << file;
  }
  // Where every rank has a word and every word a count, the checksums tell.
  write_prepared(a, folder / "mixed");
  std::string words = contents(folder / "mixed" / "vocabulary.txt");
  words.replace(0, 4, "cine");
  folder.write("mixed/vocabulary.txt", words);
  expect_error([&] { read_corpus(folder / "mixed"); }, {"mixed: its files are not of one data set"});
  write_prepared(a, folder / "mixed");
  std::string description = contents(folder / "mixed" / "prepared.json");
  const std::string invalid = "\"invalid_utf8\": 1";
  ASSERT_NE(description.find(invalid), description.npos);
  description[description.find(invalid) + invalid.size() - 1] = '2';
  folder.write("mixed/prepared.json", description);
  expect_error([&] { read_corpus(folder / "mixed"); }, {"mixed: its files are not of one data set"});
}

TEST(Prepared, OneProcessWritesIt) {
  const TemporaryFolder folder;
  const Corpus corpus = read_corpus(fixture("aclImdb.tar.gz"));
  write_prepared(corpus, folder / "prepared");
  folder.write("prepared/vocabulary.txt.tmp-a1b2c3", "of a writer that was killed");
  {
    const FileLock lock(folder / "prepared" / "lock");
    expect_error([&] { write_prepared(corpus, folder / "prepared"); }, {"prepared: another process is writing it"});
  }
  write_prepared(corpus, folder / "prepared");
  EXPECT_FALSE(std::filesystem::exists(folder / "prepared" / "vocabulary.txt.tmp-a1b2c3"));
}

TEST(Prepared, ASourceMayHaveAnyName) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(fixture("imdb.npz"), folder /
                                                      "donn\xe9"
                                                      "es.npz");
  write_prepared(read_corpus(folder / "donn\xe9"
                                      "es.npz"),
                 folder / "prepared");
  EXPECT_THAT(read_corpus(folder / "prepared").source, testing::HasSubstr("donn\xEF\xBF\xBD"
                                                                          "es.npz"));
}

TEST(Generated, IsDeterministicBalancedAndNeedsOrder) {
  const Corpus corpus = generate_corpus(400, 100), again = generate_corpus(400, 100);
  EXPECT_EQ(corpus.train.ranks, again.train.ranks);
  EXPECT_EQ(corpus.train.labels, again.train.labels);
  EXPECT_EQ(std::ranges::count(corpus.train.labels, 1), 200);
  EXPECT_EQ(std::ranges::count(corpus.test.labels, 1), 50);
  // Every machine generates these.
  std::string all;
  for (const Reviews* reviews : {&corpus.train, &corpus.test}) {
    for (const std::int32_t label : reviews->labels) all += std::to_string(label) + ' ';
    for (const std::int32_t rank : reviews->ranks) all += std::to_string(rank) + ' ';
  }
  for (const auto* words : {&corpus.words, &corpus.test_only_words}) {
    for (const std::string& word : *words) all += word + ' ';
  }
  EXPECT_EQ(text_sha256(all), "sha256:df21596aa4d6e547db414ce8330160f448356903a9c8eb135eec8228255ca403");
  EXPECT_EQ(generate_corpus().train.size(), 12000);
  EXPECT_EQ(generate_corpus().test.size(), 3000);
  const Vocabulary vocabulary(corpus, {});
  EXPECT_GE(vocabulary.id("not"), 0);
  EXPECT_GE(vocabulary.id("nobody"), 0);
  EXPECT_GE(vocabulary.id("but"), 0);
}

TEST(Prepared, SomebodysFilesStay) {
  const TemporaryFolder folder;
  folder.write("data/train.csv", "text,label\ngood,1\nbad,0\n");
  expect_error([&] { write_prepared(read_corpus(fixture("imdb.npz")), folder / "data"); },
               {"data/train.csv: is there already, in no prepared folder"});
  folder.write("mine/vocabulary.txt", "words that I collected\n");
  const Corpus corpus = read_corpus(fixture("imdb.npz"));
  expect_error([&] { write_prepared(corpus, folder / "mine"); },
               {"mine/vocabulary.txt: is there already, in no prepared folder"});
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "mine"), {}), 1);
  for (const char* const file : {"mine/lock", "mine/prepared.json"}) {
    folder.write(file, "[1]");
    expect_error([&] { write_prepared(corpus, folder / "mine"); }, {"is there already, in no prepared folder"});
  }
  folder.write("empty/lock", "");
  folder.write("empty/vocabulary.txt", "words that I collected\n");
  expect_error([&] { write_prepared(corpus, folder / "empty"); }, {"is there already, in no prepared folder"});
  std::filesystem::create_directory(folder / "linked");
  std::filesystem::create_symlink(folder / "nowhere", folder / "linked" / "vocabulary.txt");
  expect_error([&] { write_prepared(corpus, folder / "linked"); }, {"is there already, in no prepared folder"});
  write_prepared(corpus, folder / "other");
  std::filesystem::remove(folder / "other" / "prepared.json");  // as where writing was cut off
  write_prepared(corpus, folder / "other");
}

}  // namespace
}  // namespace reel
