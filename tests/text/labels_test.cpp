// What the labels of rows are found to be, and what is said of those that cannot be.
#include <cmath>
#include <map>

#include "host/text/corpus.h"
#include "host/text/label_index.h"
#include "tests/support/support.h"

namespace reel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class Labels : public testing::Test {
 protected:
  /// Rows of which each is its number in words and one of `labels`, which train and test.
  Corpus csv(const std::vector<std::string>& labels, const ReadOptions& options = {}) {
    std::string text = "text,label\n";
    for (std::size_t i = 0; i < labels.size(); ++i) text += fmt::format("row{},\"{}\"\n", i, labels[i]);
    const auto file = folder_.write("data.csv", text);
    return read_corpus(file, file, options);
  }
  Corpus json(const std::vector<std::string>& labels, const ReadOptions& options = {}) {
    std::string text;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      text += fmt::format("{{\"text\": \"row{}\", \"label\": {}}}\n", i, labels[i]);
    }
    const auto file = folder_.write("data.jsonl", text);
    return read_corpus(file, file, options);
  }
  void expect(const std::vector<std::string>& labels, const ReadOptions& options,
              std::initializer_list<std::string> parts) {
    expect_error([&] { csv(labels, options); }, parts);
  }

  /// The training rows in the file's order.
  static std::vector<std::size_t> order(const Corpus& corpus) {
    std::map<std::int64_t, std::size_t> rows;
    for (std::int64_t i = 0; i < corpus.train.size(); ++i) {
      const auto rank = static_cast<std::size_t>(corpus.train.review(i)[0]);
      rows[std::stoll(corpus.words[rank - 1].substr(3))] = static_cast<std::size_t>(i);
    }
    std::vector<std::size_t> order;
    for (const auto& [row, i] : rows) order.push_back(i);
    return order;
  }
  static std::vector<std::int32_t> classes(const Corpus& corpus) {
    std::vector<std::int32_t> classes;
    for (const std::size_t i : order(corpus)) classes.push_back(corpus.train.labels.at(i));
    return classes;
  }
  /// Of each row, what is in which column.
  static std::vector<std::map<int, float>> targets(const Corpus& corpus) {
    const Targets& all = corpus.train.targets;
    std::vector<std::map<int, float>> targets;
    for (const std::size_t i : order(corpus)) {
      targets.emplace_back();
      for (auto k = static_cast<std::size_t>(all.begin.at(i)); k < static_cast<std::size_t>(all.begin.at(i + 1)); ++k) {
        EXPECT_TRUE(targets.back().emplace(all.columns.at(k), all.values.at(k)).second) << "a column twice";
      }
    }
    return targets;
  }

  TemporaryFolder folder_;
};

TEST_F(Labels, NamesAreSortedByTheirBytes) {
  const Corpus corpus = csv({"news", "Sport", " a  b\t", "\xC3\xA9t\xE9", "news", "a b"});
  EXPECT_EQ(corpus.labels.task, Task::kClassify);
  EXPECT_THAT(corpus.labels.names, ElementsAre("Sport", "a b", "news", "\u00E9t\uFFFD"));
  EXPECT_THAT(classes(corpus), ElementsAre(2, 0, 1, 3, 2, 1));
  EXPECT_THAT(corpus.train.targets.begin, ElementsAre(0)) << "the classes say all";
  EXPECT_EQ(corpus.invalid_utf8, 2) << "of both splits";
}

TEST_F(Labels, NumbersAreSortedByTheirValue) {
  const Corpus corpus = csv({"10", "9", "+9.0", "-1", "1e1"});
  EXPECT_EQ(corpus.labels.task, Task::kClassify);
  EXPECT_THAT(corpus.labels.names, ElementsAre("-1", "9", "10"));
  EXPECT_THAT(classes(corpus), ElementsAre(2, 1, 1, 0, 2));
  EXPECT_THAT(json({"10", "9", "9.0", "-1"}).labels.names, ElementsAre("-1", "9", "10"));
  EXPECT_THAT(csv({"01", "1", "1.0", "10", "010"}).labels.names, ElementsAre("01", "1", "10", "010")) << "codes";
  EXPECT_THAT(csv({"12345678901234567890", "12345678901234567891"}).labels.names.size(), 2u);
}

TEST_F(Labels, TwoClassesInTheSpellingsOfSentiment) {
  const Corpus mixed = csv({"POS", "neg", "1", "False", "true", "0", "Negative", "positive"});
  EXPECT_THAT(mixed.labels.names, ElementsAre("neg", "POS"));
  EXPECT_THAT(classes(mixed), ElementsAre(1, 0, 1, 0, 1, 0, 0, 1));
  EXPECT_THAT(csv({"1", "1", "0", "1", "1", "0", "1", "1", "1", "1", "pos"}).labels.names, ElementsAre("0", "1"))
      << "nearly all are numbers, and none a mistake";
  for (const std::vector<std::string>& one : {std::vector<std::string>{"1", "1"}, {"FALSE"}, {"pos", "1"}}) {
    expect(one, {}, {"rows have the label '" + one.front() + "', expected two or more"});
  }
  EXPECT_THAT(json({"true", "false"}).labels.names, ElementsAre("false", "true"));
  EXPECT_THAT(csv({"pos", "neg", "neutral"}).labels.names, ElementsAre("neg", "neutral", "pos")) << "no such two";
  EXPECT_THAT(csv({"2", "1", "0"}).labels.names, ElementsAre("0", "1", "2"));
}

TEST_F(Labels, NumbersThatAreNotWholeAreARegression) {
  const Corpus corpus = csv({"1", "2.5", "-3e2"});
  EXPECT_EQ(corpus.labels.task, Task::kRegression);
  EXPECT_THAT(corpus.labels.names, IsEmpty());
  EXPECT_EQ(corpus.labels.outputs(), 1);
  EXPECT_THAT(targets(corpus),
              ElementsAre(ElementsAre(Pair(0, 1)), ElementsAre(Pair(0, 2.5)), ElementsAre(Pair(0, -300))));
  EXPECT_THAT(classes(corpus), ElementsAre(0, 0, 0));
  EXPECT_EQ(csv({"1", "2"}, {.task = Task::kRegression}).labels.task, Task::kRegression);
  EXPECT_THAT(csv({"1.5", "2"}, {.task = Task::kClassify}).labels.names, ElementsAre("1.5", "2"));
  expect({"1", "x"}, {.task = Task::kRegression}, {"data.csv:3: label 'x', expected a number"});
  for (const std::string number : {"nan", "inf", "1e39", "1e999"}) {
    expect({"1", number}, {.task = Task::kRegression}, {"data.csv:3: label '" + number + "', expected a number"});
  }
}

TEST_F(Labels, OneThatIsNoNumberAmongNumbersIsAMistake) {
  std::vector<std::string> labels;
  for (int i = 0; i < 10; ++i) labels.push_back(std::to_string(i));
  labels[7] = "l7";
  expect(labels, {},
         {"data.csv:9: label 'l7', a number was expected as in 18 of 20 rows; --task classify takes all as"});
  EXPECT_EQ(csv(labels, {.task = Task::kClassify}).labels.classes(), 10);
  labels[8] = "l8";
  EXPECT_EQ(csv(labels).labels.classes(), 10) << "names, of which many are numbers";
}

TEST_F(Labels, SeveralAText) {
  for (const Corpus& corpus :
       {csv({"b;a", "", "c", " a ;; a", "b"}), json({R"(["b", "a"])", "[]", R"("c")", R"(["a"])", R"(["b", "b"])"})}) {
    EXPECT_EQ(corpus.labels.task, Task::kMultiLabel);
    EXPECT_THAT(corpus.labels.names, ElementsAre("a", "b", "c"));
    EXPECT_THAT(targets(corpus), ElementsAre(ElementsAre(Pair(0, 1), Pair(1, 1)), IsEmpty(), ElementsAre(Pair(2, 1)),
                                             ElementsAre(Pair(0, 1)), ElementsAre(Pair(1, 1))));
    EXPECT_EQ(count_labels(corpus.train.labels, corpus.train.targets, corpus.labels),
              (std::vector<std::int64_t>{2, 2, 1}));
  }
  EXPECT_THAT(json({"[10, 9]", "[true]"}).labels.names, ElementsAre("10", "9", "true"));
  EXPECT_EQ(csv({"a", "b"}, {.task = Task::kMultiLabel}).labels.task, Task::kMultiLabel);
  EXPECT_EQ(json({"[\"a\"]"}).labels.outputs(), 1) << "one label, or none";
  EXPECT_THAT(csv({"a;b", "c"}, {.task = Task::kClassify}).labels.names, ElementsAre("a;b", "c"));
  const auto lines = folder_.write("a.txt", "__label__b __label__a x\nnone of them\n__label__b y\n");
  const Corpus corpus = read_corpus(lines, lines);
  EXPECT_EQ(corpus.labels.task, Task::kMultiLabel);
  EXPECT_EQ(count_labels(corpus.train.labels, corpus.train.targets, corpus.labels), (std::vector<std::int64_t>{1, 2}));
  expect_error([&] { read_corpus(lines, lines, {.task = Task::kClassify}); },
               {"a.txt:1: 2 labels, expected one: --task multi-label takes several"});
  expect_error(
      [&] {
        json({R"(["a"])", R"("b")"}, {.task = Task::kClassify});
      },
      {"data.jsonl:1: label [\"a\"], expected one: --task multi-label takes lists"});
  expect({"", ""}, {.task = Task::kMultiLabel}, {"data.csv: no label in its rows"});
}

TEST_F(Labels, SoftOnesAreSharesOfClasses) {
  const ReadOptions soft{.soft_labels = true};
  for (const Corpus& corpus : {csv({"a:1;b:3", "c: 0.5 ;a:0", "b:2;c:2"}, soft),
                               json({R"({"a": 1, "b": 3})", R"({"c": 0.5, "a": 0})", R"({"b": 2, "c": 2})"}, soft)}) {
    EXPECT_EQ(corpus.labels.task, Task::kClassify);
    EXPECT_THAT(corpus.labels.names, ElementsAre("a", "b", "c"));
    EXPECT_THAT(classes(corpus), ElementsAre(1, 2, 1));
    EXPECT_THAT(targets(corpus), ElementsAre(ElementsAre(Pair(0, 0.25f), Pair(1, 0.75f)), ElementsAre(Pair(2, 1.0f)),
                                             ElementsAre(Pair(1, 0.5f), Pair(2, 0.5f))));
  }
  const Corpus two = csv({"neg:1;pos:3", "1:0;0:2", "pos:1"}, soft);
  EXPECT_EQ(two.labels.outputs(), 1);
  EXPECT_THAT(classes(two), ElementsAre(1, 0, 1));
  EXPECT_THAT(targets(two), ElementsAre(ElementsAre(Pair(0, 0.75f)), IsEmpty(), ElementsAre(Pair(0, 1.0f))));
  for (const std::string label : {"a", "a:", ":1", "a:1;", "a:x", ""}) {
    expect({"a:1", label}, soft, {"data.csv:3: soft label '" + label + "', expected name:share;name:share"});
  }
  expect({"a:1", "a:-1;b:2"}, soft, {"data.csv:3: a share of -1, expected a number from 0"});
  expect({"a:1", "a:0;b:0"}, soft, {"data.csv:3: shares that add up to 0, expected more than 0"});
  expect({"a:1e308;b:1e308"}, soft, {"data.csv:2: shares that add up to inf"});
  expect({"a:1"}, {.task = Task::kRegression, .soft_labels = true}, {"--soft-labels: expected --task classify"});
  expect_error([&] { json({R"({"a": "1"})"}, soft); },
               {"data.jsonl:1: soft label {\"a\":\"1\"}, expected {\"name\": sh"});
  expect_error([&] { json({R"("a")"}, soft); }, {"data.jsonl:1: soft label \"a\", expected {\"name\": share}"});
  expect_error([&] { json({R"({"a": 1})"}); },
               {"data.jsonl:1: label {\"a\":1}: shares of classes, expected --soft-labels"});
}

TEST_F(Labels, ThatSayNothingAreRefused) {
  expect({"x", "x", "x"}, {}, {"data.csv: all 6 rows have the label 'x', expected two or more"});
  expect({"a", " \t", "b"}, {}, {"data.csv:3: an empty label, expected one"});
  expect({"1", "", "2.5"}, {.task = Task::kRegression}, {"data.csv:3: an empty label, expected one"});
  std::vector<std::string> labels;
  for (int i = 0; i < 10000; ++i) labels.push_back(fmt::format("c{}", i));
  EXPECT_EQ(csv(labels).labels.classes(), 10000);
  labels.emplace_back("one more");
  expect(labels, {}, {"data.csv: 10001 different labels, expected 10000 or fewer"});
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = std::to_string(i);
  expect(labels, {}, {"10001 different labels, expected 10000 or fewer; --task regression takes numbers as they are"});
}

TEST_F(Labels, OfTestsAloneAreClassesAndAWarning) {
  folder_.write("train.csv", "text,label\nx,a\ny,b\n");
  folder_.write("test.csv", "text,label\nx,a\ny,c\ny,c\n");
  const Corpus corpus = read_corpus(folder_.path());
  EXPECT_THAT(corpus.labels.names, ElementsAre("a", "b", "c"));
  ASSERT_EQ(corpus.warnings.size(), 1u);
  EXPECT_THAT(corpus.warnings[0], testing::EndsWith("test.csv: label 'c' (2 rows) is in no training row"));
  folder_.write("test.csv", "text,label\nx,c\ny,d\ny,e\ny,f\nx,g\n");
  EXPECT_THAT(read_corpus(folder_.path()).warnings,
              ElementsAre(testing::EndsWith(
                  "test.csv: labels 'c' (1 row), 'd' (1 row), 'e' (1 row) and 2 more are in no training row")));
}

TEST_F(Labels, OfAModelAreThoseThatThereAre) {
  const LabelSet eight{.names = {"a", "b", "c", "d", "e", "f", "g", "h"}};
  const Corpus corpus = csv({"h", "b", "h"}, {.labels = eight});
  EXPECT_EQ(corpus.labels, eight);
  EXPECT_THAT(classes(corpus), ElementsAre(7, 1, 7));
  EXPECT_EQ(csv({"b"}, {.labels = eight}).labels, eight) << "one class is enough to be tested";
  expect({"a", "x"}, {.labels = eight}, {"data.csv:3: label 'x' is none of the model's 8 (a, b, c, d, e, ...)"});
  const LabelSet numbers{.names = {"1", "2", "3"}};
  EXPECT_THAT(classes(csv({"3.0", "1"}, {.labels = numbers})), ElementsAre(2, 0));
  const LabelSet two{.names = {"neg", "pos"}};
  EXPECT_THAT(classes(csv({"1", "FALSE"}, {.labels = two})), ElementsAre(1, 0));
  expect({"1", "0"}, {.labels = LabelSet{.names = {"ham", "spam"}}},
         {"label '1' is none of the model's 2 (ham, spam)"});
  const LabelSet several{.task = Task::kMultiLabel, .names = {"a", "b"}};
  EXPECT_THAT(targets(csv({"b", "b;a"}, {.labels = several})),
              ElementsAre(ElementsAre(Pair(1, 1)), ElementsAre(Pair(0, 1), Pair(1, 1))));
  const LabelSet number{.task = Task::kRegression, .names = {}};
  EXPECT_THAT(targets(csv({"0", "1"}, {.labels = number})),
              ElementsAre(ElementsAre(Pair(0, 0)), ElementsAre(Pair(0, 1))));
  expect({"0"}, {.task = Task::kClassify, .labels = number}, {"--task classify: the model's is regression"});
}

TEST_F(Labels, OfAModelAreMatchedWithThoseOfASource) {
  const auto imdb = fixture("imdb.npz"), reviews = fixture("aclImdb.tar.gz");
  const LabelSet two{.names = {"neg", "pos"}}, numbers{.names = {"0", "1"}};
  for (const auto& source : {imdb, reviews}) {
    for (const LabelSet& labels : {two, numbers}) {
      const Corpus corpus = read_corpus(source, {}, {.labels = labels});
      EXPECT_EQ(corpus.labels, labels);
      EXPECT_EQ(corpus.train.labels, read_corpus(source).train.labels);
    }
    expect_error(
        [&] {
          read_corpus(source, {}, {.labels = LabelSet{.names = {"ham", "spam"}}});
        },
        {"' is none of the model's 2 (ham, spam)"});
    expect_error([&] { read_corpus(source, {}, {.labels = LabelSet{.task = Task::kRegression, .names = {}}}); },
                 {"its task is classify, the model's regression"});
  }
  const LabelSet more{.names = {"neg", "neutral", "pos"}};
  const Corpus corpus = read_corpus(reviews, {}, {.labels = more});
  EXPECT_EQ(count_labels(corpus.train.labels, {}, more), (std::vector<std::int64_t>{3, 0, 3}));
}

TEST_F(Labels, OfEveryTaskSurviveBeingPrepared) {
  const ReadOptions soft{.soft_labels = true};
  folder_.write("w.csv", "text,label,w\nx,a,1\ny,b,2.5\nx,c,0\n");
  const Corpus weighted = read_corpus(folder_ / "w.csv", folder_ / "w.csv", {.weight_column = "w"});
  for (const Corpus& corpus : {csv({"a", "b", "c"}), csv({"a;b", "c", ""}), csv({"1.5", "-2"}), csv({"1", "0"}),
                               csv({"a:1;b:3", "c:1"}, soft), csv({"0:1;1:3", "1:1"}, soft), weighted}) {
    write_prepared(corpus, folder_ / "prepared");
    const Corpus read = read_corpus(folder_ / "prepared");
    EXPECT_EQ(read.labels, corpus.labels);
    EXPECT_EQ(read.train.labels, corpus.train.labels);
    EXPECT_EQ(read.train.targets, corpus.train.targets);
    EXPECT_EQ(read.train.weights, corpus.train.weights);
    EXPECT_EQ(read.test.targets, corpus.test.targets);
    EXPECT_EQ(read_corpus(folder_ / "prepared", {}, {.labels = corpus.labels}).train.targets, corpus.train.targets);
  }
  write_prepared(csv({"a;b", "c", ""}), folder_ / "prepared");
  const LabelSet wider{.task = Task::kMultiLabel, .names = {"a", "aa", "b", "c"}};
  EXPECT_THAT(targets(read_corpus(folder_ / "prepared", {}, {.labels = wider})),
              ElementsAre(ElementsAre(Pair(0, 1), Pair(2, 1)), ElementsAre(Pair(3, 1)), IsEmpty()));
  const LabelSet other{.task = Task::kMultiLabel, .names = {"a", "b"}};
  expect_error([&] { read_corpus(folder_ / "prepared", {}, {.labels = other}); },
               {"label 'c' is none of the model's 2 (a, b)"});
  expect_error([&] { read_corpus(folder_ / "prepared", {}, {.task = Task::kClassify}); },
               {"--task classify: ", "has labels of its own, of the task multi-label"});
  write_prepared(csv({"a:1;b:3", "c:1"}, soft), folder_ / "prepared");
  expect_error(
      [&] {
        read_corpus(folder_ / "prepared", {}, {.labels = LabelSet{.names = {"a", "b", "c", "d"}}});
      },
      {"soft labels of 3 classes, expected the model's 4"});
}

TEST(LabelIndex, NumbersAreDecimalAndWhole) {
  for (const char* const text : {"1", "+1", "1.0", "1e0", "100e-2"}) EXPECT_EQ(parse_number(text), 1) << text;
  for (const char* const text : {"", "+", "+-1", "1 ", " 1", "0x1", "1,5", "inf", "-inf", "nan", "1e999", "1f"}) {
    EXPECT_EQ(parse_number(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace reel
