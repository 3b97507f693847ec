// The same reviews from every kind of source: the same accuracy, or a refusal.
#include <fmt/format.h>

#include <array>

#include "tests/cli/program.h"

namespace reel {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Review {
  std::string text;
  int label;
};

class Evaluation : public Program {
 protected:
  /// Words of the test reviews that the training reviews lack, but that a model of other reviews may know.
  static std::vector<Review> training() {
    return {{"good warm film", 1}, {"good good joy", 1}, {"bad dull film", 0},
            {"bad bad bore", 0},   {"warm joy good", 1}, {"dull bore bad", 0}};
  }
  static std::vector<Review> tests() {
    return {{"good film", 1}, {"bad film", 0}, {"warm", 1}, {"dull unseen", 0}, {"joy bad", 1}, {"bore good", 0}};
  }

  static std::string csv(const std::vector<Review>& reviews) {
    std::string text = "text,label\n";
    for (const Review& review : reviews) text += review.text + ',' + std::to_string(review.label) + '\n';
    return text;
  }
  static std::string json_lines(const std::vector<Review>& reviews) {
    std::string text;
    for (const Review& review : reviews)
      text += fmt::format("{{\"text\":\"{}\",\"label\":{}}}\n", review.text, review.label);
    return text;
  }
  void write_aclimdb(const std::string& folder, const std::vector<Review>& train, const std::vector<Review>& test) {
    int number = 0;
    for (const auto& [split, reviews] : {std::pair{"train", train}, std::pair{"test", test}}) {
      for (const Review& review : reviews) {
        folder_.write(fmt::format("{}/{}/{}/{}_7.txt", folder, split, review.label == 1 ? "pos" : "neg", number++),
                      review.text);
      }
    }
  }
  /// The same reviews as evaluation.npz.
  void write_npz(const std::string& folder, bool with_index) {
    folder_.write(folder + "/imdb.npz", contents(fixture("evaluation.npz")));
    if (!with_index) return;
    folder_.write(folder + "/imdb_word_index.json",
                  R"({"good":1,"bad":2,"film":3,"warm":4,"joy":5,"dull":6,"bore":7,"unseen":8})");
  }

  void train(const std::string& data, const std::string& run) {
    const Result result = reel("train --data " + data + kSmall + "--epochs 20 --lr 0.1 --word-dropout 0 --out " + run);
    ASSERT_EQ(result.code, 0) << result.err;
  }
  std::string report(const std::string& run, const std::string& data) {
    const Result result = reel("eval " + run + " --data " + data);
    EXPECT_EQ(result.code, 0) << data << ": " << result.err;
    EXPECT_EQ(result.err, "") << data;
    return result.out;
  }
};

/// A word index has more words than the training reviews, and the model a row for each.
TEST_F(Evaluation, KnowsNoWordThatWasNotTrained) {
  write_npz("npz", true);
  train("npz/imdb.npz", "run");
  EXPECT_THAT(report("run", "npz/imdb.npz"), HasSubstr("words known        90.91 %")) << "10 of 11";
}

/// The ids between the last word and a reserved one have rows, which nobody trained: no word of the test split is
/// there.
TEST_F(Evaluation, IsWhatTrainingSawWhereverReservedIdsAre) {
  folder_.write("csv/train.csv", csv(training()));
  folder_.write("csv/test.csv", csv({{"good unseen", 1}, {"unseen", 0}, {"bad unheard unknown film", 0}, {"joy", 1}}));
  write_npz("npz", false);
  for (const std::string flags : {"--start-char 11", "--start-char 12", "--oov-char 13", "--start-char 30"}) {
    for (const std::string data : {"csv", "npz/imdb.npz"}) {
      std::filesystem::remove_all(folder_ / "run");
      train(data, "run " + flags);
      const std::string summary = contents(folder_ / "run" / "summary.json");
      const std::size_t at = summary.find("test_loss");
      const double loss = std::stod(summary.substr(summary.find(':', at) + 1));
      EXPECT_THAT(reel("eval run --data " + data).out, HasSubstr(fmt::format("log loss           {:.4f}", loss)))
          << flags;
    }
  }
}

TEST_F(Evaluation, IsTheSameFromEveryKindOfSource) {
  folder_.write("csv/train.csv", csv(training()));
  folder_.write("csv/test.csv", csv(tests()));
  folder_.write("jsonl/train.jsonl", json_lines(training()));
  folder_.write("jsonl/test.jsonl", json_lines(tests()));
  write_aclimdb("folder/aclImdb", training(), tests());
  for (const std::string type : {"z", "J", "j"}) {
    ASSERT_EQ(
        std::system(("cd " + folder_.path().string() + "/folder && tar c" + type + "f ../archive-" + type + " aclImdb")
                        .c_str()),
        0);
  }
  ASSERT_EQ(reel("prepare --data csv --out prepared").code, 0);
  train("csv", "run");
  const std::string expected = report("run", "csv");
  EXPECT_THAT(expected, HasSubstr("words known        90.91 %")) << "10 of 11";
  for (const std::string data : {"csv/test.csv", "jsonl", "jsonl/test.jsonl", "folder", "folder/aclImdb", "archive-z",
                                 "archive-J", "archive-j", "prepared"}) {
    EXPECT_EQ(report("run", data), expected) << data;
  }
}

/// Words that the corpus's own training split lacks are known all the same, if the model knows them.
TEST_F(Evaluation, KnowsWordsWhateverTrainingSplitLiesBeside) {
  folder_.write("csv/train.csv", csv(training()));
  folder_.write("csv/test.csv", csv(tests()));
  train("csv", "run");
  folder_.write("other/train.csv", csv({{"good", 1}, {"bad", 0}}));
  folder_.write("other/test.csv", csv(tests()));
  ASSERT_EQ(reel("prepare --data other --out other-prepared").code, 0);
  const std::string expected = report("run", "csv/test.csv");
  EXPECT_EQ(report("run", "other"), expected);
  EXPECT_EQ(report("run", "other-prepared"), expected);
}

TEST_F(Evaluation, MatchesRanksOnlyWhereTheyCountTheSameWords) {
  write_npz("words", true);
  write_npz("ranks", false);
  folder_.write("csv/train.csv", csv(training()));
  folder_.write("csv/test.csv", csv(tests()));
  train("words/imdb.npz", "run");
  const std::string expected = report("run", "words/imdb.npz");
  EXPECT_EQ(report("run", "ranks/imdb.npz"), expected) << "the same reviews by count";
  EXPECT_EQ(report("run", "csv"), expected);
  train("ranks/imdb.npz", "run-of-ranks");
  EXPECT_EQ(report("run-of-ranks", "words/imdb.npz"), expected);
  expect_failure("eval run-of-ranks --data csv/test.csv", 1,
                 "its words cannot be matched with the model's: the model was trained on ranks without words");
  expect_failure("eval run-of-ranks --data " + fixture("imdb.npz").string(), 1, "the model was trained on ranks");
  expect_failure("predict run-of-ranks good", 1, "ranks but no words");
  folder_.write("other.csv",
                csv({{"film film film", 1}, {"bad", 0}, {"good", 1}, {"warm", 0}, {"dull", 1}, {"joy", 0}}));
  train("other.csv", "run-of-others");
  expect_failure("eval run-of-others --data ranks/imdb.npz", 1,
                 "it has ranks but no words; expected imdb_word_index.json");
}

TEST_F(Evaluation, OfUnknownWordsWarns) {
  folder_.write("csv/train.csv", csv(training()));
  folder_.write("csv/test.csv", csv(tests()));
  train("csv", "run");
  folder_.write("french.csv", csv({{"bon film", 1}, {"mauvais film triste", 0}}));
  const Result result = reel("eval run --data french.csv");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("words known        40.00 %"));
  EXPECT_THAT(result.err, HasSubstr("reel: warning: french.csv: the model knows 40.0 % of these words"));
  folder_.write("none.csv", csv({{"tres bon", 1}, {"mauvais", 0}}));
  expect_failure("eval run --data none.csv", 1, "none.csv: the model knows none of its words");
}

/// As eval does.
TEST_F(Evaluation, OfTrainingWarnsOfUnknownWordsToo) {
  folder_.write("train.csv", csv(training()));
  folder_.write("french.csv", csv({{"bon film", 1}, {"mauvais film triste", 0}}));
  const Result result = reel("train --data train.csv --test-data french.csv --out run" + std::string(kSmall));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("train.csv: 40.0 % of the test reviews' words have an id, fewer than 80 %"));
}

/// A row of the embedding is a word.
TEST_F(Evaluation, WeightsOfOtherWordsOrOfAnotherCellAreWarnedOf) {
  folder_.write("a.csv", csv(training()));
  std::vector<Review> others = training();
  for (Review& review : others) review.text = "new " + review.text.substr(review.text.find(' ') + 1);
  folder_.write("b.csv", csv(others));
  train("a.csv", "run --vocab-size 8");
  const std::string flags = " --vocab-size 8 --init-from run/model.safetensors" + std::string(kSmall);
  EXPECT_THAT(reel("train --data b.csv --out other" + flags).out,
              HasSubstr("run/model.safetensors: trained on other words"));
  const std::string same = reel("train --data a.csv --out same" + flags).out;
  EXPECT_THAT(same, AllOf(Not(HasSubstr("other words")), Not(HasSubstr("weights of the cell"))));
  EXPECT_THAT(reel("train --data a.csv --out relu --cell relu" + flags).out,
              HasSubstr("run/model.safetensors: weights of the cell tanh, this model's is relu"));
  expect_failure("train --data a.csv --out gru --cell gru" + flags, 1,
                 "run/model.safetensors: weights of the cell tanh, expected those of gru");
}

/// What truncation cuts off is not evaluated, so it is no reason to doubt the score, or to trust it.
TEST_F(Evaluation, CountsTheWordsThatAreEvaluated) {
  folder_.write("csv/train.csv", csv(training()));
  folder_.write("csv/test.csv", csv(tests()));
  train("csv", "run");
  std::string unknown, known;
  for (int i = 0; i < 12; ++i) {
    unknown += "inconnu ";
    known += "good ";
  }
  folder_.write("last.csv", csv({{unknown + known, 1}, {unknown + known, 0}}));
  EXPECT_THAT(report("run", "last.csv"), HasSubstr("words known        100.00 %"));
  folder_.write("first.csv", csv({{known + unknown, 1}, {known + known + unknown + " good", 0}}));
  const Result result = reel("eval run --data first.csv");
  EXPECT_THAT(result.out, HasSubstr("words known        4.17 %")) << "1 of 24";
  EXPECT_THAT(result.err, HasSubstr("the model knows 4.2 % of these words"));
  folder_.write("short.csv", csv({{"good inconnu", 1}, {"film", 0}}));  // and the id of the start before them
  EXPECT_THAT(reel("eval run --data short.csv").out, HasSubstr("words known        66.67 %"));
}

/// Ids of an npz beyond the model's vocabulary are unknown words, not errors of the program.
TEST_F(Evaluation, RanksBeyondTheVocabularyAreUnknown) {
  train(fixture("imdb.npz").string(), "run");
  EXPECT_EQ(reel("eval run --data " + fixture("imdb.npz").string()).code, 0);
  const Result small = reel("train --data " + fixture("imdb.npz").string() + kSmall + " --vocab-size 6 --out small");
  ASSERT_EQ(small.code, 0) << small.err;
  EXPECT_EQ(reel("eval small --data " + fixture("imdb.npz").string()).code, 0);
}

TEST_F(Evaluation, SaysWhatItLeftOut) {
  folder_.write("train.csv", csv(training()));
  ASSERT_EQ(reel("train --data train.csv --out run --drop-longer 5" + std::string(kSmall)).code, 0);
  folder_.write("one.csv", csv({{"good film", 1}, {"good", 1}, {"good good good good", 1}}));
  const Result result = reel("eval run --data one.csv");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr("warning: one.csv: all 2 reviews have the label 1: accuracy on them says nothing"));
  EXPECT_THAT(result.err, HasSubstr("warning: one.csv: 1 reviews left out: as long as the model's --drop-longer"));
}

TEST_F(Evaluation, WarnsOfReviewsThatTheModelHasSeen) {
  folder_.write("csv/train.csv", csv(training()));
  folder_.write("csv/test.csv", csv(tests()));
  const std::string seen = "train.csv: the model was trained on these reviews: accuracy on them says little of others";
  train("csv/train.csv", "run-of-a-file");
  train("csv", "run-of-a-folder");
  for (const std::string run : {"run-of-a-file", "run-of-a-folder"}) {
    EXPECT_THAT(reel("eval " + run + " --data csv/train.csv").err, HasSubstr(seen)) << run;
    EXPECT_EQ(reel("eval " + run + " --data csv --split train").err, "") << "as it was asked to";
    report(run, "csv");
    report(run, "csv/test.csv");
  }
  folder_.write("lone/train.csv", csv(training()));
  EXPECT_THAT(reel("eval run-of-a-folder --data lone").err, HasSubstr("the model was trained on these reviews"))
      << "a fifth of what it was all trained on";
  report("run-of-a-file", "lone");  // the fifth that it was not
  EXPECT_THAT(reel("train --data csv/test.csv --test-data csv/test.csv --out same" + std::string(kSmall)).out,
              HasSubstr("test.csv: the test reviews are the training reviews: accuracy on them says nothing"));
}

TEST_F(Evaluation, NeedsTheWordsThatTheModelWasTrainedWith) {
  train_small("--out run");
  std::string words = contents(folder_ / "run" / "vocab.txt");
  words.replace(words.find("warm"), 4, "cold");
  folder_.write("run/vocab.txt", words);
  for (const char* command : {"predict run good", "eval run --data none"}) {
    expect_failure(command, 1, "run/vocab.txt: not the words that run/model.safetensors was trained with");
  }
}

}  // namespace
}  // namespace reel
