// Labels of every kind, from files to predictions.
#include <nlohmann/json.hpp>
#include <sstream>

#include "host/model/checkpoint.h"
#include "tests/cli/program.h"

namespace reel {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Labels : public Program {
 protected:
  explicit Labels(const std::string& program = built_program()) : Program(program) {
    std::string topics = "title,body,topic,weight\n", lists, numbers = "text,price\n", shares = "text,label\n";
    const std::vector<std::string> names = {"arts", "sport", "stars"};
    const std::vector<std::string> words = {"paint stage poem", "goal match score", "moon comet orbit"};
    for (std::size_t i = 0; i < 60; ++i) {
      const std::size_t c = i * 7 % 3, other = i % 4 == 0 ? (c + 1) % 3 : c;
      topics += fmt::format("{},\"the {}\",{},{}\n", words[c].substr(0, 5), words[c], names[c], i % 5 == 0 ? 2 : 1);
      lists += fmt::format("{{\"text\":\"{} {}\",\"label\":[\"{}\"{}]}}\n", words[c], other == c ? "" : words[other],
                           names[c], other == c ? "" : ",\"" + names[other] + '"');
      numbers += fmt::format("{},{}.5\n", words[c], 1000 * c);
      shares += fmt::format("{},{}:0.8;{}:0.2\n", words[c], names[c], names[(c + 1) % 3]);
    }
    folder_.write("topics.csv", topics);
    folder_.write("lists.jsonl", lists);
    folder_.write("numbers.csv", numbers);
    folder_.write("shares.csv", shares);
  }

  /// Every kind, by its data and flags.
  static std::vector<std::pair<std::string, std::string>> kinds() {
    return {{"topics.csv", " --text-column title,body --label-column topic --weight-column weight"},
            {"lists.jsonl", ""},
            {"numbers.csv", " --label-column price"},
            {"shares.csv", " --soft-labels"}};
  }
  std::string train(const std::string& data, const std::string& run, const std::string& more) {
    const Result result = reel("train --data " + data + kTraining + more + " --out " + run +
                               (more.find("--epochs") != more.npos ? "" : kEpochs));
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }
  nlohmann::json evaluation(const std::string& run, const std::string& data, const std::string& flags) {
    const Result result = reel("eval " + run + " --json --data " + data + flags);
    EXPECT_EQ(result.code, 0) << result.err;
    return nlohmann::json::parse(result.out);
  }
  nlohmann::json prediction(const std::string& run, const std::string& text) {
    const Result result = reel("predict " + run + " " + text);
    EXPECT_EQ(result.code, 0) << result.err;
    return nlohmann::json::parse(result.out);
  }

  static constexpr const char* kTraining =
      " --batch-size 8 --embedding-dim 8 --hidden-size 8 --maxlen 12 --threads 1 --lr 0.03 --dropout 0 "
      "--word-dropout 0 --validation-split 0.2 ";
  static constexpr const char* kEpochs = " --epochs 8";
};

TEST_F(Labels, OfManyClassesAreLearntByName) {
  const auto [data, flags] = kinds()[0];
  const std::string out = train(data, "run", flags + " --calibrate");
  EXPECT_THAT(out, AllOf(HasSubstr("labels: classify, 3 classes: "), HasSubstr("Dense(3)"), HasSubstr("macro F1"),
                         HasSubstr("calibration error")));
  EXPECT_EQ(contents(folder_ / "run" / "labels.txt"), "arts\nsport\nstars\n");
  const nlohmann::json measured = evaluation("run", data, flags);
  EXPECT_GT(measured["accuracy"].get<double>(), 0.9);
  EXPECT_EQ(evaluation("run", data, ""), measured) << "the columns are known";
  expect_failure("eval run --label-column none --data " + data, 1, "topics.csv: no column 'none'");
  folder_.write("news.txt", "__label__sport the goal match score\n");
  EXPECT_EQ(evaluation("run", "news.txt", "")["rows"], 1) << "what has no columns needs none";
  EXPECT_EQ(measured["classes"][1]["name"], "sport");
  EXPECT_THAT(reel("eval run --data " + data + flags).out, HasSubstr("actual below, predicted across"));
  EXPECT_EQ(prediction("run", "'goal the goal match score'")["name"], "sport");
  EXPECT_EQ(prediction("run", "'goal the goal match score'")["probabilities"].size(), 3u);
  EXPECT_EQ(prediction("run --top 2", "'moon the moon comet orbit'")["top"][0]["name"], "stars");
  EXPECT_EQ(prediction("run --top 2", "'moon the moon comet orbit'")["top"].size(), 2u);
}

TEST_F(Labels, SeveralOfATextHaveThresholds) {
  EXPECT_THAT(train("lists.jsonl", "run", " --threshold auto --class-weights balanced --best-by macro_f1"),
              HasSubstr("labels: multi-label, 3 labels: "));
  const nlohmann::json measured = evaluation("run", "lists.jsonl", "");
  EXPECT_GT(measured["micro_f1"].get<double>(), 0.8);
  EXPECT_THAT(prediction("run", "'goal match score'")["names"].dump(), HasSubstr("sport"));
  EXPECT_THAT(reel("info run").out, HasSubstr("thresholds"));
}

TEST_F(Labels, ThatAreNumbersComeBackInTheirUnits) {
  EXPECT_THAT(train("numbers.csv", "run", " --label-column price"),
              AllOf(HasSubstr("labels: regression, from 0.5 to 2000.5"), Not(HasSubstr("accuracy"))));
  EXPECT_NEAR(prediction("run", "'goal match score'")["value"].get<double>(), 1000.5, 300);
  EXPECT_GT(evaluation("run", "numbers.csv", " --label-column price")["r2"].get<double>(), 0.8);
}

TEST_F(Labels, OfEveryKindResumeBitForBit) {
  for (const auto& [data, flags] : kinds()) {
    SCOPED_TRACE(data);
    const std::string name = data.substr(0, 4);
    const std::string choice = data == "numbers.csv" || data == "shares.csv" ? "" : " --calibrate";
    train(data, name + "whole", flags + " --epochs 3" + choice);
    train(data, name + "part", flags + " --epochs 3 --max-steps 9" + choice);
    const Result resumed = reel("train --resume " + name + "part");
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_EQ(contents(folder_ / (name + "whole") / "model.safetensors"),
              contents(folder_ / (name + "part") / "model.safetensors"));
    const auto state = [&](const std::string& run) {
      return load_training_state(folder_ / (name + run) / "last" / "state.safetensors").parameters;
    };
    EXPECT_EQ(state("whole"), state("part"));
  }
}

/// What was chosen for the epoch that is kept is what eval uses, and what the summary tells of.
TEST_F(Labels, AreReadAsTheKeptEpochChose) {
  std::string rows = "text,label\n";
  for (int i = 0; i < 120; ++i)
    rows += fmt::format("{} {},{}\n", i % 3 == 0 ? "good" : "bad", i % 7, i % 4 == 0 ? "ham" : "spam");
  folder_.write("two/train.csv", rows);
  folder_.write("two/test.csv", rows);
  train("two", "run", " --epochs 6 --lr 0.3 --calibrate --threshold auto");
  const nlohmann::json summary = nlohmann::json::parse(contents(folder_ / "run" / "summary.json"));
  EXPECT_LT(summary["best_epoch"].get<int>(), 6) << "one before the last";
  const nlohmann::json measured = evaluation("run", "two", "");
  EXPECT_EQ(measured["log_loss"], summary["test_loss"]);
  EXPECT_EQ(measured["accuracy"], summary["test_accuracy"]);
  EXPECT_THAT(reel("info run").out, AllOf(HasSubstr("temperature"), HasSubstr("thresholds")));
}

TEST_F(Labels, WhatTheyCannotDoIsOneLine) {
  const std::string topics = "train --out x --data topics.csv" + kinds()[0].second;
  for (const char* flag : {"--calibrate", "--threshold auto", "--best-by loss", "--early-stopping 2"}) {
    expect_failure(topics + " " + flag, 2, "expected --validation-split with it");
  }
  expect_failure(topics + " --validation-split 0.2 --threshold auto", 1, "--threshold auto: 3 classes");
  const std::string numbers = "train --out x --validation-split 0.2 --data numbers.csv --label-column price ";
  expect_failure(numbers + "--calibrate", 1, "--calibrate: the labels are numbers, not classes");
  expect_failure(numbers + "--threshold auto", 1, "--threshold auto: the labels are numbers, not classes");
  expect_failure(numbers + "--best-by accuracy", 1, "--best-by: the labels are numbers, not classes: expected loss");
  expect_failure(numbers + "--class-weights balanced", 1, "--class-weights: the labels are numbers, not classes");
  expect_failure("train --out x --validation-split 0.2 --soft-labels --calibrate --data shares.csv", 1,
                 "--calibrate: not with --soft-labels");
  folder_.write("weights", "arts 0\nsport 0\nstars 0\n");
  expect_failure(topics + " --class-weights weights", 1, "weights: all weights are 0");
  folder_.write("weights", "arts 1\nsport 2\n");
  expect_failure(topics + " --class-weights weights", 1, "weights: 2 weights of 3 labels: none of 'stars'");
  expect_failure(topics + " --class-weights none", 1, "none: cannot be read");
  expect_failure("train --out x --data topics.csv --label-column topic", 1, "topics.csv: no column");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "x"));
}

TEST_F(Labels, OfAnotherModelAreRefused) {
  const auto [data, flags] = kinds()[0];
  train(data, "run", flags + " --epochs 1");
  folder_.write("other.csv", "text,label\ngoal,sport\nrain,weather\n");
  expect_failure("eval run --data other.csv --text-column text --label-column label", 1,
                 "label 'weather' is none of the model's 3");
  expect_failure("eval run --data numbers.csv --label-column price", 1, "numbers.csv");
  folder_.write("run/labels.txt", "arts\nsport\n");
  expect_failure("eval run --data " + data + flags, 1, "run/labels.txt: not the labels that");
  folder_.write("two.csv", "text,label\ngoal,1\nrain,0\ngoal,1\nrain,0\n");
  expect_failure("train --out x --data two.csv --init-from run/model.safetensors --embedding-dim 8 --hidden-size 8", 1,
                 "run/model.safetensors");
}

class EmulatedLabels : public Labels {
 protected:
  EmulatedLabels() : Labels(emulated_program()) {}
  void SetUp() override {
    if (emulated_program().empty()) GTEST_SKIP() << "no emulator in this build";
  }
};

/// The kernels and the CPU learn the same of every kind.
TEST_F(EmulatedLabels, AreLearntByTheKernelsToo) {
  for (const auto& [data, flags] : kinds()) {
    SCOPED_TRACE(data);
    const std::string name = data.substr(0, 4), weights = data == "lists.jsonl" ? " --class-weights balanced" : "";
    train(data, name + "cpu", flags + weights + " --device cpu --epochs 2");
    train(data, name + "cuda", flags + weights + " --device cuda --epochs 2");
    const nlohmann::json cpu = evaluation(name + "cpu", data, flags + " --device cpu"),
                         cuda = evaluation(name + "cuda", data, flags + " --device cuda");
    const char* const loss = cpu.contains("log_loss") ? "log_loss" : "mean_squared_error";
    EXPECT_NEAR(cuda[loss].get<double>() / cpu[loss].get<double>(), 1, 1e-3);
  }
}

}  // namespace
}  // namespace reel
