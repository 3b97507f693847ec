// Formats of rows, plain and packed, and folders of labels.
#include <map>

#include "host/files/packed.h"
#include "host/text/rows.h"
#include "tests/support/pack.h"
#include "tests/support/support.h"

namespace reel {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

/// Every review as "labels: words".
std::vector<std::string> named_lines(const Corpus& corpus, const Reviews& reviews) {
  std::vector<std::string> lines;
  for (std::int64_t i = 0; i < reviews.size(); ++i) {
    const auto row = static_cast<std::size_t>(i);
    std::string line;
    if (corpus.labels.task == Task::kClassify)
      line = corpus.labels.names.at(static_cast<std::size_t>(reviews.labels[row]));
    if (corpus.labels.task == Task::kMultiLabel) {
      const auto end = static_cast<std::size_t>(reviews.targets.begin[row + 1]);
      for (auto k = static_cast<std::size_t>(reviews.targets.begin[row]); k < end; ++k) {
        line += corpus.labels.names.at(static_cast<std::size_t>(reviews.targets.columns[k])) + ';';
      }
    }
    line += ':';
    for (const std::int32_t rank : reviews.review(i)) {
      const auto word = static_cast<std::size_t>(rank) - 1;
      line += ' ' +
              (word < corpus.words.size() ? corpus.words[word] : corpus.test_only_words.at(word - corpus.words.size()));
    }
    lines.push_back(line);
  }
  return lines;
}

struct Format {
  const char* name;  // of a file
  std::string head, train, test;
};

/// The same rows in each.
std::vector<Format> formats() {
  return {
      {.name = "csv",
       .head = "text,label\n",
       .train = "\"good, warm film\",Comedy\nna\xEFve,drama\ndull film,drama\n",
       .test = "warm,Comedy\n"},
      {.name = "tsv",
       .head = "id\ttext\tlabel\n",
       .train = "1\tgood, warm film\tComedy\n2\t\"na\xEFve\"\tdrama\r\n3\tdull film\tdrama\n",
       .test = "4\twarm\tComedy\n"},
      {.name = "jsonl",
       .head = "",
       .train = "{\"text\": \"good, warm film\", \"label\": \"Comedy\"}\n{\"text\": \"na\xEFve\", \"label\": \"drama\"}"
                "\n{\"text\": \"dull film\", \"label\": \"drama\"}\n",
       .test = "{\"text\": \"warm\", \"label\": \" Comedy\"}\n"},
      {.name = "txt",
       .head = "",
       .train = "__label__Comedy good, warm film\n\n__label__drama na\xEFve\n __label__drama\tdull film\r\n",
       .test = "__label__Comedy warm"}};
}

const std::map<std::string, int> kPackings = {{"", ARCHIVE_FILTER_NONE},
                                              {".gz", ARCHIVE_FILTER_GZIP},
                                              {".bz2", ARCHIVE_FILTER_BZIP2},
                                              {".xz", ARCHIVE_FILTER_XZ},
                                              {".zst", ARCHIVE_FILTER_ZSTD}};

void expect_the_corpus(const Corpus& corpus) {
  EXPECT_THAT(named_lines(corpus, corpus.train),
              UnorderedElementsAre("Comedy: good warm film", "drama: na\uFFFDve", "drama: dull film"));
  EXPECT_THAT(named_lines(corpus, corpus.test), ElementsAre("Comedy: warm"));
  EXPECT_THAT(corpus.labels.names, ElementsAre("Comedy", "drama"));
  EXPECT_EQ(corpus.invalid_utf8, 1);
  EXPECT_TRUE(corpus.train.targets.empty());
  EXPECT_TRUE(corpus.train.weights.empty());
  EXPECT_THAT(corpus.warnings, testing::IsEmpty());
}

TEST(Formats, PlainAndPackedGiveTheSameCorpus) {
  for (const Format& format : formats()) {
    for (const auto& [ending, filter] : kPackings) {
      SCOPED_TRACE(format.name + ending);
      const TemporaryFolder folder;
      folder.write(std::string("train.") + format.name + ending, packed(format.head + format.train, filter));
      folder.write(std::string("test.") + format.name + ending, packed(format.head + format.test, filter));
      expect_the_corpus(read_corpus(folder.path()));
      const auto train = folder.write("a", packed(format.head + format.train, filter));  // told by what is in it
      const auto test = folder.write("b", packed(format.head + format.test, filter));
      expect_the_corpus(read_corpus(train, test));
    }
  }
}

TEST(Formats, FoldersOfLabelsToo) {
  const TemporaryFolder folder;
  folder.write("d/train/Comedy/1.txt", "good, warm film");
  folder.write("d/train/drama/1.txt", "na\xEFve");
  folder.write("d/train/drama/._1.txt", "notes");
  folder.write("d/train/drama/2.txt", "dull film");
  folder.write("d/train/README", "notes");
  folder.write("d/test/Comedy/3.txt", "warm");
  std::filesystem::create_directories(folder / "d/train/empty");
  expect_the_corpus(read_corpus(folder / "d"));
  expect_error([&] { read_corpus(folder / "d", fixture("imdb.npz")); }, {"d: has test reviews of its own"});
  const Corpus all = read_corpus(folder / "d" / "train");
  EXPECT_EQ(all.train.size(), 2);
  EXPECT_EQ(all.test.size(), 1);
  EXPECT_EQ(read_corpus(folder / "d" / "train", folder / "d" / "train").test.size(), 3) << "to evaluate";
  folder.write("d/train/empty/1.doc", "film");
  expect_error([&] { read_corpus(folder / "d"); }, {"train/empty: no texts in it, expected NAME.txt"});
  std::filesystem::remove_all(folder / "d/train/empty");
  folder.write("d/train/drama/more.doc", "film");
  expect_error([&] { read_corpus(folder / "d"); }, {"train/drama/more.doc: among the texts, expected NAME.txt alone"});
}

TEST(Formats, PositiveAndNegativeReviewsBesideOthersAreThreeLabels) {
  const TemporaryFolder folder;
  for (const char* split : {"train", "test"}) {
    for (const char* label : {"pos", "neg", "unsup"}) {
      folder.write(fmt::format("{}/{}/0_9.txt", split, label), fmt::format("a {} film", label));
    }
    folder.write(fmt::format("{}/urls_pos.txt", split), "http");
  }
  const Corpus two = read_corpus(folder.path());
  EXPECT_EQ(two.train.size(), 2) << "unsup has no labels";
  EXPECT_THAT(two.labels.names, ElementsAre("neg", "pos"));
  folder.write("train/mixed/0_5.txt", "a mixed film");
  const Corpus four = read_corpus(folder.path());
  EXPECT_THAT(four.labels.names, ElementsAre("mixed", "neg", "pos", "unsup"));
  EXPECT_EQ(four.train.size(), 4);
}

/// Cut off anywhere, or with a byte changed or added: one line.
TEST(Packed, DamageIsNamed) {
  const TemporaryFolder folder;
  std::string text = "text,label\n";
  for (int i = 0; i < 60; ++i) text += fmt::format("w{} film,{}\n", i * i, i % 3);
  for (const auto& [ending, filter] : kPackings) {
    if (filter == ARCHIVE_FILTER_NONE) continue;
    SCOPED_TRACE(ending);
    const std::string whole = packed(text, filter);
    const auto file = folder / ("a" + ending);
    folder.write("a" + ending, whole);
    EXPECT_EQ(read_unpacked(file), text);
    EXPECT_EQ(read_unpacked_start(file, 20), text.substr(0, 20));
    for (std::size_t size = 6; size < whole.size(); size += deep() ? 1u : 7u) {
      folder.write("a" + ending, whole.substr(0, size));
      expect_error([&] { read_unpacked(file); }, {"a" + ending + ": damaged"});
      expect_error([&] { read_corpus(file); }, {"a" + ending + ": damaged"});
    }
    folder.write("a" + ending, whole.substr(0, whole.size() - 1));
    expect_error([&] { read_unpacked(file); }, {"a" + ending + ": damaged"});
    folder.write("a" + ending, whole + "something else");
    EXPECT_THROW(read_unpacked(file), Error);
    if (filter == ARCHIVE_FILTER_ZSTD) continue;  // libarchive writes no checksum there
    std::string changed = whole;
    changed[whole.size() / 2] ^= 1;
    folder.write("a" + ending, changed);
    expect_error([&] { read_unpacked(file); }, {"a" + ending});
  }
}

TEST(Packed, ABombIsRefused) {
  const TemporaryFolder folder;
  const std::string zeros = "text,label\n" + std::string(std::size_t{64} << 20, 'a');
  for (const auto& [ending, filter] : kPackings) {
    if (filter == ARCHIVE_FILTER_NONE) continue;
    const auto file = folder.write("a" + ending, packed(zeros, filter));
    expect_error([&] { read_corpus(file); },
                 {"a" + ending + ": unpacks to more than ", "expected no more of such a file"});
  }
}

TEST(Columns, AreThoseThatAreAskedFor) {
  const TemporaryFolder folder;
  const auto csv = folder.write("a.csv", "title,text,body,stars,w\ngood,x,film,a,2\nbad,x,,b,0.5\nbad,x,film,b,1e2\n");
  const auto tests = folder.write("t.csv", "title,body,stars\ngood,film,a\n");
  const auto json = folder.write("a.jsonl",
                                 R"({"title": "good", "text": "x", "body": "film", "stars": "a", "w": 2}
{"title": "bad", "body": "", "stars": "b", "w": 0.5}
{"title": "bad", "body": "film", "stars": "b", "w": 1e2})");
  const ReadOptions options{.text_columns = {"title", "body"}, .label_column = "stars", .weight_column = "w"};
  for (const auto& file : {csv, json}) {
    const Corpus corpus = read_corpus(file, tests, options);
    EXPECT_THAT(named_lines(corpus, corpus.train), UnorderedElementsAre("a: good film", "b: bad", "b: bad film"));
    std::map<std::string, float> weights;
    for (std::size_t i = 0; i < 3; ++i) weights[named_lines(corpus, corpus.train)[i]] = corpus.train.weights.at(i);
    EXPECT_THAT(weights, ElementsAre(testing::Pair("a: good film", 2), testing::Pair("b: bad", 0.5f),
                                     testing::Pair("b: bad film", 100)));
    EXPECT_THAT(corpus.test.weights, testing::IsEmpty()) << "they count in training";
  }
  const auto expect = [&](const std::filesystem::path& file, const ReadOptions& asked,
                          std::initializer_list<std::string> parts) {
    expect_error([&] { read_corpus(file, tests, asked); }, parts);
  };
  expect(csv, {.text_columns = {"body", "more"}},
         {"a.csv: no column 'more' in the header (title, text, body, stars, w)"});
  expect(csv, {}, {"a.csv: no column 'sentiment' or 'label' in the header (title, "});
  expect(csv, {.text_columns = {"text"}, .label_column = "text"}, {"a.csv: column 'text' as text and as label"});
  expect(json, {.text_columns = {"more"}, .label_column = "stars"},
         {"a.jsonl:1: expected an object with the key 'more', found body, stars, text, title, w"});
  folder.write("a.csv", "title,title,stars\nx,y,a\n");
  expect(csv, {.text_columns = {"title"}, .label_column = "stars"}, {"a.csv: more than one column 'title'"});
  folder.write("a.csv", "title,stars\n,a\n,b\n");
  expect(csv, {.text_columns = {"title"}, .label_column = "stars"}, {"a.csv: no word in its training reviews"});
  const auto lines = folder.write("a.txt", "__label__a x\n__label__b y\n");
  expect(lines, {.label_column = "stars"}, {"a.txt: lines of fastText have no columns"});
  expect(lines, {.soft_labels = true}, {"a.txt: lines of fastText have no shares"});
}

TEST(Columns, WeightsAreNumbersFromZero) {
  const TemporaryFolder folder;
  const ReadOptions options{.weight_column = "w"};
  for (const std::string weight : {"-1", "nan", "abc", "", "inf", "1e39", "1 2", "--1", "0x1"}) {
    const auto csv = folder.write("a.csv", "text,label,w\nx,a,1\ny,b," + weight + "\n");
    expect_error([&] { read_corpus(csv, {}, options); },
                 {"a.csv:3: weight '" + weight + "', expected a number from 0"});
  }
  for (const std::string weight : {"-1", "null", "\"1\"", "1e39", "[]"}) {
    const auto json = folder.write("a.jsonl", "{\"text\": \"x\", \"label\": \"a\", \"w\": " + weight + "}\n");
    expect_error([&] { read_corpus(json, {}, options); }, {"a.jsonl:1: weight ", "expected a number from 0"});
  }
  const auto zero = folder.write("a.csv", "text,label,w\nx,a,0\ny,b,0\nx,a,0\n");
  expect_error([&] { read_corpus(zero, {}, options); }, {"a.csv: all training rows have the weight 0"});
}

TEST(Columns, SourcesWithoutThemSaySo) {
  const TemporaryFolder folder;
  write_prepared(read_corpus(fixture("imdb.npz")), folder / "prepared");
  for (const auto& source : {fixture("aclImdb.tar.gz"), fixture("imdb.npz"), folder / "prepared"}) {
    const auto expect = [&](const ReadOptions& options, std::initializer_list<std::string> parts) {
      expect_error([&] { read_corpus(source, {}, options); }, parts);
    };
    expect({.text_columns = {"a"}}, {source.filename(), "no columns: expected no --text-column"});
    expect({.label_column = "a"}, {source.filename(), "no columns: expected no --label-column"});
    expect({.weight_column = "a"}, {source.filename(), "no columns: expected no --weight-column"});
    expect({.soft_labels = true}, {source.filename(), "no columns: expected no --soft-labels"});
    expect({.task = Task::kRegression}, {"--task regression: ", "has labels of its own, of the task classify"});
    EXPECT_EQ(read_corpus(source, {}, {.task = Task::kClassify}).test.size(), read_corpus(source).test.size());
  }
  folder.write("d/a/1.txt", "x");
  expect_error([&] { read_corpus(folder / "d", {}, {.text_columns = {"a"}}); },
               {"d: a folder of texts has no columns"});
}

}  // namespace
}  // namespace reel
