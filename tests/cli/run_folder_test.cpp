// What a run's folder goes through: two processes, edited files, weights from elsewhere.
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "host/model/checkpoint.h"
#include "kernels/make_backend.h"
#include "tests/cli/program.h"

namespace reel {
namespace {

using testing::HasSubstr;

class RunFolders : public Program {
 protected:
  std::string data() { return " --data " + fixture("aclImdb.tar.gz").string() + kSmall; }
  std::vector<nlohmann::json> metrics(const std::string& run) {
    std::istringstream lines(contents(folder_ / run / "metrics.jsonl"));
    std::vector<nlohmann::json> all;
    for (std::string line; std::getline(lines, line);) all.push_back(nlohmann::json::parse(line));
    return all;
  }
  /// Steps at which it was tested.
  std::vector<int> tests(const std::string& run) {
    std::vector<int> steps;
    for (const auto& line : metrics(run)) {
      if (line["split"] == "test") steps.push_back(line["step"]);
    }
    return steps;
  }
  nlohmann::json summary(const std::string& run) {
    return nlohmann::json::parse(contents(folder_ / run / "summary.json"));
  }
};

TEST_F(RunFolders, AreOneProcessesAlone) {
  folder_.write("two.sh",
                program_ + " train" + data() + " --epochs 100000 --evaluate end --out run >/dev/null 2>first &\n" +
                    "until [ -s run/metrics.jsonl ]; do sleep 0.02; done\n" + program_ +
                    " train --resume run 2>resume; echo $? >code\n" + "kill $!; wait $!\n" + "for i in 1 2; do " +
                    program_ + " train" + data() + " --out new >/dev/null 2>new$i; echo $? >new$i.code & done\nwait\n");
  ASSERT_EQ(std::system(("cd " + folder_.path().string() + " && timeout 60 bash two.sh").c_str()), 0);
  EXPECT_EQ(contents(folder_ / "code"), "1\n");
  EXPECT_EQ(contents(folder_ / "resume"), "reel: run: another process trains in it\n");
  EXPECT_EQ(contents(folder_ / "new1.code") < contents(folder_ / "new2.code")
                ? contents(folder_ / "new1.code") + contents(folder_ / "new2.code")
                : contents(folder_ / "new2.code") + contents(folder_ / "new1.code"),
            "0\n1\n");
  EXPECT_THAT(contents(folder_ / "new1") + contents(folder_ / "new2"),
              testing::AnyOf(HasSubstr("another process trains in it"), HasSubstr("holds a run already")));
}

TEST_F(RunFolders, SayWhereNobodyIsKeptOut) {
  const Result result = reel("train" + data() + " --out run", "", fault("no-locks", "any", 1));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("warning: run: its file system has no locks"));
}

TEST_F(RunFolders, KeepTheFlagsThatTheyWereStartedWith) {
  train_small("--out run --max-steps 4");
  const std::string config = contents(folder_ / "run" / "config.toml");
  const auto edit = [&](const std::string& from, const std::string& to) {
    std::string text = config;
    text.replace(text.find(from), from.size(), to);
    folder_.write("run/config.toml", text);
  };
  for (const char* size : {"1", "4"}) {
    edit("batch-size = 2", std::string("batch-size = ") + size);
    expect_failure("train --resume run", 1,
                   std::string("config.toml: batch-size is '") + size + "', but was '2' when the run began");
  }
  edit("log-every = 50", "log-every = 1");
  EXPECT_EQ(reel("train --resume run").code, 0) << "what may be said anew";
}

/// Flags without an effect are refused where a run begins, not where it goes on: nobody could take them back.
TEST_F(RunFolders, GoOnWithFlagsThatHaveNoEffect) {
  const std::string config = "data = '" + fixture("aclImdb.tar.gz").string() +
                             "'\nbatch-size = 2\nembedding-dim = 4\nhidden-size = 5\nmaxlen = 12\nepochs = 1\n";
  for (const auto& [flag, line] : {std::pair{"--layer-dropout", "layer-dropout = 0.3\n"},
                                   {"--variational", "variational = true\n"},
                                   {"--rho", "rho = 0.5\n"}}) {
    const std::string name = std::string("run") + flag;
    folder_.write(name + "/config.toml", config + line);
    expect_failure("train --config " + name + "/config.toml", 2, flag);
    std::filesystem::create_directory(folder_ / name / "last");  // of a run that ended before its first checkpoint
    const Result resumed = reel("train --resume " + name);
    EXPECT_EQ(resumed.code, 0) << resumed.err;
  }
}

TEST_F(RunFolders, OfOlderRunsMustFitTheirCheckpointToo) {
  train_small("--out run --max-steps 4");
  TrainingState state = load_training_state(folder_ / "run" / "last" / "state.safetensors");
  nlohmann::json cursor = nlohmann::json::parse(state.values.at("cursor"));
  cursor.erase("config");
  state.values["cursor"] = cursor.dump();
  save_training_state(folder_ / "run" / "last" / "state.safetensors", state);
  std::string config = contents(folder_ / "run" / "config.toml");
  config.replace(config.find("batch-size = 2"), 14, "batch-size = 9");
  folder_.write("run/config.toml", config);
  expect_failure("train --resume run", 1, "step 4 after 1 epochs, but an epoch of these reviews has 1 steps");
}

/// Counts that no run has would be read beyond the end of something.
TEST_F(RunFolders, OfImpossibleCountsAreRefused) {
  train_small("--max-steps 4 --log-every 7 --checkpoint-every 1 --batch-size 1 --out run");
  const TrainingState whole = load_training_state(folder_ / "run" / "last" / "state.safetensors");
  const nlohmann::json cursor = nlohmann::json::parse(whole.values.at("cursor"));
  ASSERT_EQ(reel("train --resume run --max-steps 5").code, 0) << "as it is";
  const auto expect_refused = [&](const char* key, const nlohmann::json& value, const char* part) {
    SCOPED_TRACE(key);
    TrainingState state = whole;
    nlohmann::json changed = cursor;
    changed[key] = value;
    state.values["cursor"] = changed.dump();
    save_training_state(folder_ / "run" / "last" / "state.safetensors", state);
    expect_failure("train --resume run", 1, part);
  };
  expect_refused("epoch_seconds", nlohmann::json::array(), "step 4 after 0 epochs");
  expect_refused("best_score", 1.5, "a best score of 1.5");
  expect_refused("epochs_done", -1, "counts that 3 epochs of these reviews cannot have");
  expect_refused("measured_reviews", -1, "counts that");
  expect_refused("measured_tokens", std::int64_t{1} << 60, "counts that");
  expect_refused("measured_reviews", 1, "0 steps of 1 reviews since the last line of metrics.jsonl");
  for (const double seconds : {-1.0, 1e300}) {
    expect_refused("measured_seconds", seconds, "times that no run takes");
    expect_refused("epoch_seconds", nlohmann::json::array({seconds}), "times that no run takes");
  }
  const std::int64_t many = std::numeric_limits<std::int64_t>::max();
  expect_refused("best_test",
                 {{"tp", many}, {"fp", many}, {"tn", 0}, {"fn", 0}, {"loss", 1}, {"seconds", 1}, {"tokens", 1}},
                 "counts that");
  const auto tested = [](int tp, double loss) {
    return nlohmann::json{{"tp", tp}, {"fp", 0}, {"tn", 0}, {"fn", 0}, {"loss", loss}, {"seconds", 1}, {"tokens", 1}};
  };
  expect_refused("best_test", tested(0, 1), "counts that");
  expect_refused("best_test", tested(2, -5), "a test loss of -5");
  expect_refused("best_epoch", 1, "counts that");  // of none
  TrainingState state = whole;
  state.measured.resize(100);
  save_training_state(folder_ / "run" / "last" / "state.safetensors", state);
  expect_failure("train --resume run", 1, "step 4 after 0 epochs");
}

/// A stranger's run must not write elsewhere.
TEST_F(RunFolders, WithLinksAreRefused) {
  for (const char* file : {"metrics.jsonl", "last/lock", "last"}) {
    std::filesystem::remove_all(folder_ / "run");
    train_small("--out run --max-steps 2");
    std::filesystem::rename(folder_ / "run" / file, folder_ / "elsewhere");
    std::filesystem::create_symlink(folder_ / "elsewhere", folder_ / "run" / file);
    expect_failure("train --resume run", 1, std::string("run/") + file + ": a link, expected the run's own");
    std::filesystem::remove_all(folder_ / "elsewhere");
  }
}

TEST_F(RunFolders, OfDamagedWordsAreRefused) {
  train_small("--out run --max-steps 2");
  const std::string words = contents(folder_ / "run" / "vocab.txt"),
                    model = contents(folder_ / "run" / "model.safetensors");
  for (const std::string& damaged : {words.substr(0, words.size() / 2), words + "more\t1\n", std::string("x")}) {
    folder_.write("run/vocab.txt", damaged);
    expect_failure("train --resume run", 1, "run/vocab.txt: not the words that the run was started with; remove it");
  }
  EXPECT_EQ(contents(folder_ / "run" / "model.safetensors"), model);
  std::filesystem::remove(folder_ / "run" / "vocab.txt");
  EXPECT_EQ(reel("train --resume run").code, 0);
  EXPECT_EQ(contents(folder_ / "run" / "vocab.txt"), words);
  folder_.write("run/config.toml", "");
  expect_failure("train --resume run", 1, "run/config.toml: empty, expected the flags that the run was started with");
}

TEST_F(RunFolders, TakeNothingThatIsThereAlready) {
  train_small("--out run");
  folder_.write("m/model.safetensors", contents(folder_ / "run" / "model.safetensors"));
  expect_failure("train" + data() + " --hidden-size 9 --init-from m/model.safetensors --out m", 1,
                 "m/model.safetensors: is there already; another --out starts a run");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "m" / "model.safetensors"));
  folder_.write("mine/last/lock", "");
  expect_failure("train" + data() + " --init-from none --out mine", 1, "none: cannot be read");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "mine" / "last" / "lock")) << "somebody's, though of this name";
}

TEST_F(RunFolders, AreNamedAsAShellTakesThem) {
  train_small("--out \"it's mine\"");
  expect_failure("train --out \"it's mine\"", 1, "--resume 'it'\\''s mine' continues it");
}

TEST_F(RunFolders, WithoutTheirCheckpointAreNotBegunAnew) {
  train_small("--out run");
  const std::string metrics = contents(folder_ / "run" / "metrics.jsonl");
  std::filesystem::remove(folder_ / "run" / "last" / "state.safetensors");
  expect_failure("train --resume run", 1, "run: finished, and its run/last/state.safetensors is gone: another --out");
  std::filesystem::remove_all(folder_ / "run" / "last");
  expect_failure("train --resume run", 1, "run: nothing to resume: no run/last");
  EXPECT_EQ(contents(folder_ / "run" / "metrics.jsonl"), metrics);
}

/// A file of ours that got the number of a closed standard output would hold what is printed.
TEST_F(RunFolders, HoldNothingThatWasPrinted) {
  folder_.write("closed.sh", program_ + " train" + data() +
                                 " --epochs 100000 --evaluate end --out run <&- >&- 2>err &\n"
                                 "until [ -s run/metrics.jsonl ]; do sleep 0.02; done\n"
                                 "readlink /proc/$!/fd/0 /proc/$!/fd/1 >files\nkill $!; wait $!; echo $? >code\n");
  ASSERT_EQ(std::system(("cd " + folder_.path().string() + " && timeout 60 bash closed.sh").c_str()), 0);
  EXPECT_EQ(contents(folder_ / "files"), "/dev/null\n/dev/null\n");
  EXPECT_EQ(contents(folder_ / "code"), "143\n");
  EXPECT_THAT(contents(folder_ / "err"), HasSubstr("reel: standard output: ")) << "what was printed did not arrive";
}

TEST_F(RunFolders, WithoutNamesAreManyAtOnce) {
  folder_.write("many.sh", "for i in 1 2 3 4 5 6; do " + program_ + " train" + data() +
                               " >/dev/null 2>>err || echo failed >>code & done; wait\n");
  ASSERT_EQ(std::system(("cd " + folder_.path().string() + " && bash many.sh").c_str()), 0);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "code")) << contents(folder_ / "err");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ / "runs"), {}), 6);
}

/// A run that was killed before its first checkpoint begins anew, with the words of the data it is given then.
TEST_F(RunFolders, BeginAnewWithTheWordsOfOtherData) {
  folder_.write("a.csv", "text,label\nwarm film,1\ndull film,0\nwarm,1\ndull,0\nfilm warm,1\n");
  folder_.write("b.csv", "text,label\nkind book,1\nlong book,0\nkind,1\nlong,0\nbook kind,1\n");
  const std::string train = std::string("train --out run") + kSmall + " --data ";
  ASSERT_EQ(reel(train + "a.csv", "", fault("kill", "state.safetensors", 1)).code, 137);
  EXPECT_THAT(contents(folder_ / "run" / "vocab.txt"), HasSubstr("film\t"));
  ASSERT_EQ(reel("train --resume run --data b.csv").code, 0);
  EXPECT_THAT(contents(folder_ / "run" / "vocab.txt"),
              testing::AllOf(HasSubstr("book\t"), testing::Not(HasSubstr("film"))));
  EXPECT_THAT(reel("eval run --data b.csv").out, HasSubstr("words known        100.00 %"));
}

TEST_F(RunFolders, StartFromNoWeightsOfOtherLayers) {
  train_small("--layers 2 --out deep");
  expect_failure(
      "train" + data() + "--init-from deep/model.safetensors --out run", 1,
      "deep/model.safetensors: unexpected tensor 'rnn.bias_hh_l1', expected those of 1 layer in 1 direction");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
  train_small("--layers 2 --init-from deep/model.safetensors --out run");
  EXPECT_EQ(reel("eval run --data " + fixture("aclImdb.tar.gz").string()).code, 0);
}

TEST_F(RunFolders, StartFromWeightsThatMayBeGoneLater) {
  train_small("--out first");
  std::filesystem::copy(folder_ / "first" / "model.safetensors", folder_ / "weights.safetensors");
  expect_failure("train" + data() + " --init-from nowhere --out run", 1, "nowhere: cannot be read");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run")) << "another try may have this name";
  std::filesystem::create_directory(folder_ / "mine");
  expect_failure("train" + data() + " --init-from nowhere --out mine", 1, "nowhere: cannot be read");
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "mine")) << "what was there before stays";
  train_small("--init-from weights.safetensors --out whole");
  EXPECT_EQ(
      reel("train" + data() + " --init-from weights.safetensors --out run", "", fault("kill", "metrics.jsonl", 1)).code,
      137);
  std::filesystem::remove(folder_ / "weights.safetensors");
  folder_.write("elsewhere/x", "");
  ASSERT_EQ(
      std::system(
          ("cd " + (folder_ / "elsewhere").string() + " && " + program_ + " train --resume ../run >/dev/null").c_str()),
      0);
  EXPECT_EQ(load_model(folder_ / "run" / "model.safetensors").parameters,
            load_model(folder_ / "whole" / "model.safetensors").parameters);
}

TEST_F(RunFolders, AreFoundFromAnotherFolder) {
  folder_.write("d.csv", "text,label\ngood film,1\nbad film,0\ngood,1\nbad,0\nfilm good,1\n");
  ASSERT_EQ(reel("train --data d.csv --max-steps 1 --out run" + std::string(kSmall)).code, 0);
  folder_.write("elsewhere/x", "");
  EXPECT_EQ(
      std::system(
          ("cd " + (folder_ / "elsewhere").string() + " && " + program_ + " train --resume ../run >/dev/null").c_str()),
      0);
}

TEST_F(RunFolders, SummariseTheModelThatTheyHold) {
  train_small("--out whole");
  train_small("--out run --max-steps 5");
  EXPECT_EQ(summary("run")["steps"], 5);
  EXPECT_EQ(load_model(folder_ / "run" / "model.safetensors").parameters,
            load_training_state(folder_ / "run" / "last" / "state.safetensors").parameters)
      << "the model after these steps";
  const Result evaluation = reel("eval run --data " + fixture("aclImdb.tar.gz").string());
  EXPECT_THAT(evaluation.out,
              HasSubstr(fmt::format("log loss           {:.4f}\n", summary("run")["test_loss"].get<double>())));
  EXPECT_THAT(evaluation.out, HasSubstr(fmt::format("accuracy           {:.2f} %",
                                                    100 * summary("run")["test_accuracy"].get<double>())));
  ASSERT_EQ(reel("train --resume run").code, 0);
  EXPECT_EQ(summary("run")["test_loss"], summary("whole")["test_loss"]);
  EXPECT_EQ(tests("run"), tests("whole")) << "what was tested within an epoch is not";
  train_small("--out within --max-steps 5");
  EXPECT_EQ(metrics("within").back()["split"], "test");
  EXPECT_EQ(metrics("within").back()["epoch"], 2) << "3 steps an epoch";
  train_small(
      "--out validated --validation-split 0.5 --validation last --batch-size 1 --max-steps 5");  // 3 steps an epoch
  EXPECT_EQ(summary("validated")["best_epoch"], 1);
  train_small("--out ends --validation-split 0.5 --validation last --batch-size 1 --max-steps 5 --evaluate end");
  EXPECT_EQ(metrics("ends").back()["split"], "test");
  EXPECT_EQ(metrics("ends").back()["step"], 3) << "what was validated";
  EXPECT_EQ(metrics("ends").back()["epoch"], 1);
  EXPECT_THAT(
      reel("train --max-steps 2 --out first --validation-split 0.5 --validation last --batch-size 1" + data()).out,
      HasSubstr("(epoch 1)"))
      << "nothing was validated yet";
  train_small("--evaluate end --out end");
  const std::size_t lines = metrics("end").size();
  ASSERT_EQ(reel("train --resume end").code, 0);
  EXPECT_EQ(metrics("end").size(), lines) << "a finished run is tested once";
}

TEST_F(RunFolders, HaveTheRightsThatTheUserWants) {
  folder_.write("train.sh", "umask 007; " + program_ + " train" + data() + " --out run >/dev/null");
  ASSERT_EQ(std::system(("cd " + folder_.path().string() + " && bash train.sh").c_str()), 0);
  for (const char* file : {"config.toml", "vocab.txt", "model.safetensors", "summary.json", "last/state.safetensors"}) {
    EXPECT_EQ(std::filesystem::status(folder_ / "run" / file).permissions(), std::filesystem::perms(0660)) << file;
  }
}

TEST_F(RunFolders, OutputThatIsLostIsAFailure) {
  train_small("--out run");
  const std::string eval = "eval run --data " + fixture("aclImdb.tar.gz").string();
  for (const std::string& command : {std::string("predict run film"), eval, std::string("info"),
                                     std::string("train --dump-config"), std::string("--help")}) {
    for (const auto& [output, reason] :
         {std::pair{">/dev/full", "No space left on device"}, {">&-", "Bad file descriptor"}}) {
      folder_.write("full.sh", program_ + " " + command + " " + output + " 2>err; echo $? >code");
      ASSERT_EQ(std::system(("cd " + folder_.path().string() + " && bash full.sh").c_str()), 0);
      EXPECT_EQ(contents(folder_ / "code"), "1\n") << command << output;
      EXPECT_THAT(contents(folder_ / "err"), HasSubstr(std::string("reel: standard output: ") + reason)) << command;
    }
  }
}

TEST_F(RunFolders, OfOneLabelWarn) {
  std::string rows = "text,label\n", both = rows;
  for (int i = 0; i < 20; ++i) rows += "word,1\n";
  folder_.write("one.csv", rows);
  expect_failure("train --data one.csv --out run" + std::string(kSmall), 1,
                 "one.csv: all 20 rows have the label '1', expected two or more");
  for (int i = 0; i < 20; ++i) both += i % 2 == 0 ? "word,1\n" : "words,0\n";
  folder_.write("both.csv", both);
  EXPECT_THAT(reel("train --data both.csv --test-data one.csv --out run" + std::string(kSmall)).out,
              HasSubstr("all 20 test reviews have the label 1: accuracy on them says nothing"));
  EXPECT_THAT(reel("train --data " + fixture("aclImdb.tar.gz").string() + " --out two" + kSmall).out,
              testing::Not(HasSubstr("have the label")));
  EXPECT_THAT(reel("train --data one.csv --test-data both.csv --out other" + std::string(kSmall)).out,
              HasSubstr("all 20 training reviews have the label 1"));
}

/// The same bits on a processor like that which wrote them; others add in another order.
TEST_F(RunFolders, OfTheFirstVersionPredictAndGoOn) {
  const bool alike = make_cpu_backend<float>(1)->info().instructions.starts_with("AVX3");
  const float tolerance = alike ? 0 : 1e-6f;
  const std::filesystem::path old = fixture("run-0.1.0");
  std::filesystem::copy(old, folder_ / "run", std::filesystem::copy_options::recursive);
  folder_.write("run/config.toml", contents(old / "config.toml") + "no-graph = 'on'\n");  // as it was given
  const auto logits = [](const std::string& lines) {
    std::istringstream in(lines);
    std::vector<double> values;
    for (std::string line; std::getline(in, line);) values.push_back(nlohmann::json::parse(line)["logit"]);
    return values;
  };
  const Result predicted = reel("predict run --device cpu", contents(old / "texts.txt"));
  EXPECT_EQ(predicted.code, 0) << predicted.err;
  EXPECT_THAT(logits(predicted.out),
              testing::Pointwise(testing::DoubleNear(tolerance), logits(contents(old / "predictions.jsonl"))));

  const std::string before = contents(old / "metrics.jsonl");
  const Result resumed =
      reel("train --resume run --max-steps 0 --device cpu --quiet --data " + fixture("aclImdb.tar.gz").string());
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_THAT(contents(folder_ / "run" / "metrics.jsonl"), testing::StartsWith(before));
  const SavedModel finished = load_model(old / "finished.safetensors"),
                   actual = load_model(folder_ / "run" / "model.safetensors");
  EXPECT_THAT(actual.parameters, testing::Pointwise(testing::FloatNear(tolerance), finished.parameters));
}

}  // namespace
}  // namespace reel
