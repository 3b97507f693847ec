#include "host/text/readers.h"

#include <cstdlib>

#include "host/files/archive.h"
#include "host/files/limits.h"
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

/// Taken apart anew for each of its folders, such a name would take hours.
TEST(AclImdb, ANameOfManyFoldersIsReadOnce) {
  if (std::system("command -v python3 >/dev/null") != 0) GTEST_SKIP() << "needs python3";
  const TemporaryFolder folder;
  ASSERT_EQ(std::system(("cd " + folder.path().string() +
                         " && python3 -c \"import tarfile; t = tarfile.open('deep.tar.gz', 'w:gz', "
                         "format=tarfile.GNU_FORMAT); t.addfile(tarfile.TarInfo('a/' * 490000 + 'x')); t.close()\"")
                            .c_str()),
            0);
  expect_error([&] { read_corpus(folder / "deep.tar.gz"); }, {"deep.tar.gz: no reviews"});
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
  EXPECT_EQ(
      read_corpus(pack("mkdir aclImdb/train/pos/.notes && echo x >aclImdb/train/pos/.notes/0_9.TXT")).train.size(), 6)
      << "as of the folder";
  for (const std::string other : {"0_9.TXT", "notes/0_9.txt"}) {
    expect_error([&] { read_corpus(pack("mkdir -p aclImdb/train/pos/notes && echo x >aclImdb/train/pos/" + other)); },
                 {"all.tar.gz: aclImdb/train/pos/" + other + ": among the reviews, expected ID_RATING.txt alone"});
  }
  expect_error([&] { read_corpus(pack("mkdir -p aclImdb/more/train/pos && echo x >aclImdb/more/train/pos/0_9.txt")); },
               {"reviews below", "expected one data set"});
  expect_error([&] { read_corpus(pack("mv aclImdb/train/pos aclImdb/p && ln -s ../p aclImdb/train/pos")); },
               {"aclImdb/train/pos: a link, expected files and folders alone"});
  ASSERT_EQ(std::system(("cd " + folder.path().string() + " && rm -rf aclImdb && tar xzf " +
                         fixture("aclImdb.tar.gz").string() +
                         " && tar cf twice.tar aclImdb && tar rf twice.tar aclImdb/train/pos/0_9.txt")
                            .c_str()),
            0);
  expect_error([&] { read_corpus(folder / "twice.tar"); }, {"aclImdb/train/pos/0_9.txt twice"});
  ASSERT_EQ(std::system(("cd " + folder.path().string() + " && mv aclImdb custard && tar cf c.tar custard").c_str()),
            0);
  EXPECT_EQ(read_corpus(folder / "c.tar").train.size(), 6) << "\"ustar\" stands in the name too";
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

TEST(Csv, MayBeginWithEmptyLines) {
  const TemporaryFolder folder;
  folder.write("train.csv", "\r\n\ntext,label\ngood,1\nbad,0\n");
  folder.write("test.csv", "\xEF\xBB\xBF\ntext,label\ngood,1\n");
  EXPECT_EQ(read_corpus(folder.path()).train.size(), 2);
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

TEST(Csv, AFolderOfTrainingRowsTakesTestsFromElsewhere) {
  const TemporaryFolder folder;
  const auto file = folder.write("rows/train.csv", "text,label\ngood,1\nbad,0\n");
  const auto tests = folder.write("tests.csv", "text,label\ngood,1\n");
  EXPECT_EQ(read_corpus(folder / "rows", tests).source_checksum, read_corpus(file, tests).source_checksum);
  EXPECT_EQ(read_corpus(folder / "rows").test.size(), 1);
  folder.write("rows/test.csv", "text,label\nbad,0\n");
  expect_error([&] { read_corpus(folder / "rows", tests); }, {"rows: has test reviews of its own; expected no others"});
}

TEST(Csv, ErrorsNameTheLine) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::string& text, std::initializer_list<std::string> parts) {
    expect_error([&] { read_corpus(folder.write("a.csv", text)); }, parts);
  };
  expect("a,b\n1,2\n", {"a.csv: no column 'review' or 'text'"});
  expect("text,label\n\"x\ny\",1\nx,maybe\nz,\n", {"a.csv:5: an empty label, expected one"});
  expect("text,label\nx,1,2\n", {"a.csv:2: 3 fields, expected 2"});
  expect("text,label\n\"x,1\n", {"a.csv:2: quoted field without a closing quote"});
  expect("text,label\n\"x\"y,1\n", {"a.csv:2: expected a comma or the end of the line after a field"});
  expect("text,label\n", {"a.csv: no reviews"});
  expect("text,label\ngood,1\n", {"a.csv: one review, expected more: a fifth of them test"});
  expect("text,label" + std::string(1000, ',') + "\n", {"a.csv:1: more than 1000 fields"});
  expect("text,label\n,1\n...,0\n", {"a.csv: no word in its reviews"});
  folder.write("d/train.csv", "text,label\ngood,1\nbad,0\n");
  folder.write("d/test.csv", "text,label\n...,1\n,0\n");
  expect_error([&] { read_corpus(folder / "d"); }, {"no word in its test reviews"});
  expect("text,text,label\nx,y,1\n", {"a.csv: more than one column 'review' or 'text' in the header"});
  expect("text,label,sentiment\nx,1,0\n", {"a.csv: more than one column 'sentiment' or 'label' in the header"});
  expect("text,label\nx," + std::string(3000, 'y') + "\n",
         {"'" + std::string(80, 'y') + "...' of 3000 bytes, expected 1000 or fewer"});
}

TEST(JsonLines, TwoKeysOfOneMeaningAreRefused) {
  const TemporaryFolder folder;
  for (const char* const row :
       {R"({"text":"a b","label":1,"sentiment":0})", R"({"text":"e d","review":"z","label":0})"}) {
    const auto file = folder.write("a.jsonl", std::string(R"({"text":"good","label":1})") + "\n" + row + "\n");
    expect_error([&] { read_corpus(file); }, {"a.jsonl:2: '", "' beside '", "expected one of them"});
  }
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
  expect("{\"text\": \"x\", \"label\": null}", "a.jsonl:1: label null, expected a string, a number, true or false");
}

TEST(Rows, OfTwoKindsAreOneDataSet) {
  const TemporaryFolder folder;
  folder.write("train.jsonl", "{\"text\": \"good\", \"label\": 1}\n{\"text\": \"bad\", \"label\": 0}\n");
  folder.write("test.csv", "text,label\ngood,1\n");
  const Corpus corpus = read_corpus(folder.path());
  EXPECT_EQ(corpus.train.size(), 2);
  EXPECT_EQ(corpus.test.size(), 1);
  folder.write("test.json", "[{\"text\": \"good\", \"label\": 1}]");
  expect_error([&] { read_corpus(folder.path()); }, {"test.json: beside test.csv, expected one of them"});
  std::filesystem::remove(folder / "test.csv");
  const char* const expected = "expected CSV or TSV with a header, JSON lines, an object a line, or lines of fastText";
  expect_error([&] { read_corpus(folder.path()); }, {"test.json: ", expected});
  for (const std::filesystem::path& test : {folder / "test.json", fixture("imdb.npz"), fixture("aclImdb.tar.gz")}) {
    expect_error([&] { read_corpus(folder / "train.jsonl", test); }, {test.filename().c_str(), expected});
  }
}

TEST(Rows, HaveALength) {
  const TemporaryFolder folder;
  const std::string word(kMaxLine + 1, 'a');
  const std::pair<const char*, std::string> files[] = {
      {"a.jsonl", "{\"text\": \"x\", \"label\": 1}\n" + std::string(kMaxLine + 1, '\0')},
      {"plain.csv", "text,label\n" + word + ",1\n"},
      {"quoted.csv", "text,label\n\"" + word + "\",1\n"},
      {"doubled.csv", "text,label\n\"" + word.substr(9) + "\"\"123456789\",1\n"},
      {"fields.csv", "text,label,x\n" + word.substr(9) + ",1,123456789\n"}};
  for (const auto& [name, text] : files) {
    folder.write(name, text);
    expect_error([&] { read_corpus(folder / name); }, {std::string(name) + ":2: a row of more than 16777216 bytes"});
  }
}

TEST(ReadCorpus, SaysWhatItExpected) {
  const TemporaryFolder folder;
  expect_error([&] { read_corpus(folder / "none"); }, {"none: no such file or folder"});
  expect_error([&] { read_corpus(folder.path()); },
               {"no data set that Reel knows", "aclImdb_v1.tar.gz", "imdb.npz", "CSV", "or a prepared folder"});
  expect_error([&] { read_corpus(folder.write("empty", "")); }, {"the file is empty"});
  for (const char* other : {"\x01\x02\x03", "[{\"text\": \"good\", \"label\": 1}]"}) {
    expect_error([&] { read_corpus(folder.write("other", other)); }, {"other: not a data set that Reel knows"});
  }
  const std::string archive = contents(fixture("aclImdb.tar.gz"));
  expect_error([&] { read_corpus(folder.write("cut.tar.gz", archive.substr(0, archive.size() / 2))); },
               {"cut.tar.gz", "damaged archive"});
}

}  // namespace
}  // namespace reel
