// The program from the outside: arguments, standard input and files in; exit code, output and files out.
#include <csignal>
#include <nlohmann/json.hpp>

#include "host/files/safetensors.h"
#include "host/model/checkpoint.h"
#include "kernels/make_backend.h"
#include "tests/cli/program.h"

namespace reel {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

TEST_F(Program, HelpReadsLikeAManual) {
  const Result help = reel("--help");
  EXPECT_EQ(help.code, 0);
  for (const char* command :
       {"train", "prepare", "eval", "predict", "info", "\n  reel prepare --data aclImdb_v1.tar.gz --out imdb\n",
        "0 done, 1 failed, 2 wrong arguments, 3 training diverged, 128 + signal"}) {
    EXPECT_THAT(help.out, HasSubstr(command));
  }
  const Result train = reel("train --help");
  for (const char* flag : {"--data",
                           "--out",
                           "--preset",
                           "--config",
                           "--device",
                           "--threads",
                           "--seed",
                           "--vocab-size",
                           "--maxlen",
                           "--padding",
                           "--truncating",
                           "--mask",
                           "--embedding-dim",
                           "--hidden-size",
                           "--pool",
                           "--cell,--nonlinearity",
                           "--init",
                           "--epochs",
                           "--batch-size",
                           "--optimizer",
                           "--convention",
                           "--lr",
                           "--schedule",
                           "--warmup",
                           "--clip-norm",
                           "--clip-value",
                           "--dropout",
                           "--word-dropout",
                           "--validation-split",
                           "--early-stopping",
                           "--max-steps",
                           "--shuffle",
                           "--init-from",
                           "--resume",
                           "--log-every",
                           "--quiet",
                           "--keras-exact",
                           "--skip-top",
                           "--recurrence",
                           "--timings",
                           "--profile",
                           "--checkpoint-every",
                           "--test-data",
                           "--drop-longer",
                           "--start-char",
                           "--oov-char",
                           "--index-from",
                           "--orthogonal",
                           "--beta1",
                           "--beta2",
                           "--epsilon",
                           "--rho",
                           "--momentum",
                           "--nesterov",
                           "--weight-decay",
                           "--evaluate",
                           "--precision",
                           "--mixed-products",
                           "--no-graph",
                           "--dump-config"}) {
    EXPECT_THAT(train.out, HasSubstr("  " + std::string(flag) + " "));
  }
  EXPECT_THAT(reel("eval --help").out, HasSubstr("one file of rows is all test"));
  EXPECT_THAT(reel("--version").out, HasSubstr("0.1.0"));
  EXPECT_THAT(reel("info").out, HasSubstr("cpu"));
}

TEST_F(Program, WrongArgumentsAreOneLineAndExit2) {
  expect_failure("", 2, "subcommand is required");
  expect_failure("tarin", 2, "tarin: no such command, expected train");
  expect_failure("train --dropout 2", 2, "--dropout: '2', expected a number from 0 to 0.99");
  expect_failure("train --mask maybe", 2, "--mask: 'maybe', expected on|off");
  expect_failure("train --epochs many", 2, "--epochs");
  expect_failure("train --no-such-flag", 2, "--no-such-flag");
  for (const char* interval : {"5s", "-1", "2.5", "0m", "nanm", "m", "''"}) {
    expect_failure("train --checkpoint-every " + std::string(interval), 2, "expected minutes as in 5m, or steps");
  }
  expect_failure("train --early-stopping 2", 2, "expected --validation-split");
  expect_failure("predict", 2, "model is required");
}

TEST_F(Program, TrainsEvaluatesAndPredicts) {
  train_small("--out run");
  EXPECT_THAT(contents(folder_ / "out"), HasSubstr("padding check: "));
  EXPECT_THAT(contents(folder_ / "out"), HasSubstr("parameters"));
  EXPECT_THAT(contents(folder_ / "out"), HasSubstr("epoch 3/3"));
  EXPECT_THAT(contents(folder_ / "out"), HasSubstr("test accuracy"));
  for (const char* file : {"config.toml", "vocab.txt", "labels.txt", "model.safetensors", "metrics.jsonl",
                           "summary.json", "last/state.safetensors"}) {
    EXPECT_TRUE(std::filesystem::exists(folder_ / "run" / file)) << file;
  }
  EXPECT_THAT(contents(folder_ / "run" / "vocab.txt"),
              StartsWith("<pad>\t0\n<start>\t0\n<unk>\t0\n<reserved-3>\t0\nfilm\t5\n"));

  const Result evaluation = reel("eval run --data " + fixture("aclImdb.tar.gz").string());
  EXPECT_EQ(evaluation.code, 0) << evaluation.err;
  for (const char* part :
       {"rows               2", "log loss", "accuracy", "95 % interval", "macro F1", "actual below"}) {
    EXPECT_THAT(evaluation.out, HasSubstr(part));
  }
  const json summary = json::parse(contents(folder_ / "run" / "summary.json"));
  EXPECT_THAT(evaluation.out, HasSubstr(fmt::format("{:.4f}", summary["test_loss"].get<double>())));

  const Result arguments = reel("predict run 'A joy, a warm joy' ''");
  const Result lines = reel("predict run", "A joy, a warm joy\n\n");
  EXPECT_EQ(arguments.out, lines.out);
  EXPECT_EQ(std::ranges::count(lines.out, '\n'), 2);
  const json line = json::parse(lines.out.substr(0, lines.out.find('\n')));
  const double logit = line["logit"];
  EXPECT_NEAR(line["probability"].get<double>(), 1 / (1 + std::exp(-logit)), 1e-12);
  EXPECT_EQ(line["label"], logit > 0 ? 1 : 0);
}

/// All that PyTorch will find in the file, PyTorch's second biases too.
TEST_F(Program, InfoListsWhatAModelFileHolds) {
  train_small("--cell gru --bidirectional --out gru");
  EXPECT_THAT(reel("info gru").out, StartsWith("embedding.weight         F32 [29, 4]\n"
                                               "fc.bias                  F32 [1]\n"
                                               "fc.weight                F32 [1, 10]\n"
                                               "rnn.bias_hh_l0           F32 [15]\n"
                                               "rnn.bias_hh_l0_reverse   F32 [15]\n"
                                               "rnn.bias_ih_l0           F32 [15]\n"
                                               "rnn.bias_ih_l0_reverse   F32 [15]\n"
                                               "rnn.weight_hh_l0         F32 [15, 5]\n"
                                               "rnn.weight_hh_l0_reverse F32 [15, 5]\n"
                                               "rnn.weight_ih_l0         F32 [15, 4]\n"
                                               "rnn.weight_ih_l0_reverse F32 [15, 4]\n"
                                               "437 parameters: a bias_ih and its bias_hh count once, but for the last "
                                               "5 numbers of each\n"
                                               "directions         2\n"));
  const SafetensorsFile file(folder_ / "gru" / "model.safetensors");
  auto tensors = file.tensors();
  const std::vector<double> more(6);
  tensors["more\x1b"] = tensor_view(std::span(more), {2, 3});
  write_safetensors(folder_ / "m.safetensors", tensors, file.metadata());
  EXPECT_THAT(reel("info m.safetensors").out, HasSubstr("\nmore?                    F64 [2, 3]\n"));
  train_small("--cell lstm --out lstm");
  EXPECT_THAT(reel("info lstm").out, AllOf(HasSubstr("\nrnn.bias_hh_l0           F32 [20]\n"),
                                           HasSubstr(" parameters: a bias_ih and its bias_hh count once\n")));
}

TEST_F(Program, InfoNamesTheKernelsThatRunAModel) {
  train_small("--out run --maxlen 30");
  EXPECT_THAT(reel("info run --device cpu --threads 1").out,
              HasSubstr(", 1 thread, batches of 64 x 30: float32, blocked over batch rows\n"));
  const Result other = reel("info run --device cpu --no-graph");
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.out, HasSubstr("embedding.weight"));  // what needs no device is shown all the same
}

TEST_F(Program, PredictsIdsAsItPredictsTheirText) {
  train_small("--out run");
  const Result text = reel("predict run 'film'");
  EXPECT_EQ(reel("predict run --input ids", "{\"ids\": [1, 4]}\n").out, text.out);
  expect_failure("predict run --input ids", 1, "input 2: id 99, expected 0 to", "{\"ids\": [1]}\n{\"ids\": [99]}\n");
  EXPECT_EQ(std::ranges::count(contents(folder_ / "out"), '\n'), 1) << "the line before the bad one is not lost";
  expect_failure("predict run --input ids", 1, "input 1: expected {\"ids\"", "[1]\n");
}

TEST_F(Program, UnmaskedPaddingIsPredictedAsItWasTrained) {
  for (const char* padding : {"post", "pre"}) {
    const std::string out = std::string("run-") + padding;
    train_small("--mask off --padding " + std::string(padding) + " --out " + out);
    EXPECT_THAT(contents(folder_ / "out"), HasSubstr("warning: padding check"));
    folder_.write("one.csv", "text,label\na joy a warm joy,1\n");
    const json line = json::parse(reel("predict " + out + " 'a joy a warm joy'").out);
    const double loss = std::log1p(std::exp(-line["logit"].get<double>()));
    EXPECT_THAT(reel("eval " + out + " --data one.csv").out, HasSubstr(fmt::format("{:.4f}", loss))) << padding;
  }
}

TEST_F(Program, EveryKindOfDataTrains) {
  folder_.write("d/train.csv", "text,label\ngood film,1\nbad film,0\n");
  folder_.write("d/test.csv", "text,label\ngood,1\n");
  folder_.write("j.jsonl", "{\"text\":\"good\",\"label\":1}\n{\"text\":\"bad\",\"label\":0}\n");
  ASSERT_EQ(reel("prepare --data d --out prepared").code, 0);
  for (const std::string& data : {std::string("d"), std::string("j.jsonl"), std::string("prepared"),
                                  std::string("d/train.csv --test-data d/test.csv"), fixture("imdb.npz").string(),
                                  fixture("imdb.npz").string() + " --keras-exact"}) {
    const Result result = reel("train --data " + data + kSmall);
    EXPECT_EQ(result.code, 0) << data << ": " << result.err;
    EXPECT_THAT(result.out, testing::Not(HasSubstr("orthogonal weights")))
        << "which are announced where they take long";
  }
}

TEST_F(Program, DumpedConfigRoundTrips) {
  const std::string flags = "--preset tutorial --lr 0.5 --nesterov --optimizer sgd --data 'a b' ";
  const Result first = reel("train --dump-config " + flags);
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("batch-size = 32"));
  EXPECT_THAT(first.out, HasSubstr("mask = \"off\""));
  EXPECT_THAT(first.out, HasSubstr("nesterov = true"));
  folder_.write("c.toml", first.out);
  EXPECT_EQ(reel("train --dump-config --config c.toml").out, first.out);
  EXPECT_THAT(reel("train --dump-config --config c.toml --lr 0.25").out, HasSubstr("lr = 0.25"))
      << "the command line wins";
  EXPECT_THAT(reel("train --dump-config --preset recipe").out, HasSubstr("word-dropout = 0.2"));
  folder_.write("c.toml", "preset = 'tutorial'\n");
  EXPECT_THAT(reel("train --dump-config --config c.toml").out, HasSubstr("batch-size = 32"));
  folder_.write("c.toml", "learning_rate = 1\n");
  expect_failure("train --config c.toml", 1, "c.toml: key 'learning_rate', expected a flag of reel train");
  expect_failure("train --config none.toml", 1, "none.toml: cannot be read");
}

TEST_F(Program, ResumeIsUninterruptedBitForBit) {
  train_small("--out whole");
  train_small("--out part --max-steps 4");
  const Result resumed = reel("train --resume part");
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(load_model(folder_ / "whole" / "model.safetensors").parameters,
            load_model(folder_ / "part" / "model.safetensors").parameters);
  expect_failure("train --resume part --lr 1", 2, "--lr: a resumed run keeps");
  expect_failure("train --resume none", 1, "none/config.toml: cannot be read");
  expect_failure("train --out whole --data " + fixture("aclImdb.tar.gz").string(), 1, "holds a run already");
}

TEST_F(Program, SigtermSavesAndSaysHowToGoOn) {
  // More than once, as timeout(1) sends it; not before the run has logged its first steps.
  folder_.write("train.sh", program_ + " train --data " + fixture("aclImdb.tar.gz").string() + kSmall +
                                " --epochs 100000 --evaluate end --log-every 100 --out run >/dev/null 2>err &\n"
                                "until [ -s run/metrics.jsonl ] || ! kill -0 $!; do sleep 0.02; done\n"
                                "for i in {1..50}; do kill -TERM $! 2>/dev/null; done\n"
                                "wait $!; echo $? >code\n");
  ASSERT_EQ(std::system(("cd " + folder_.path().string() + " && timeout 60 bash train.sh").c_str()), 0);
  EXPECT_EQ(contents(folder_ / "code"), "143\n");
  EXPECT_THAT(contents(folder_ / "err"), HasSubstr("reel train --resume run"));
  EXPECT_EQ(load_training_state(folder_ / "run" / "last" / "state.safetensors").state1.empty(), false);
}

TEST_F(Program, BadFilesAreNamed) {
  expect_failure("train --data none", 1, "none: no such file or folder");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs")) << "no folder is left behind";
  expect_failure("train --device cuda --data " + fixture("aclImdb.tar.gz").string(), 1, "--device cuda");
  expect_failure("eval none --data x", 1, "none: cannot be read");
  train_small("--out run");
  folder_.write("run/vocab.txt", "<pad>\t0\n");
  expect_failure("predict run x", 1, "vocab.txt: 1 words, but the embedding table");
  SafetensorsFile file(folder_ / "run" / "model.safetensors");
  auto metadata = file.metadata();
  metadata["reel_format"] = "9";
  write_safetensors(folder_ / "m.safetensors", file.tensors(), metadata);
  expect_failure("info m.safetensors", 1, "Reel format 9, expected 1");
  folder_.write("m.safetensors", contents(folder_ / "run" / "model.safetensors").substr(0, 200));
  expect_failure("info m.safetensors", 1, "m.safetensors: not a safetensors file, or a truncated one");
}

TEST_F(Program, ADiskThatIsFullLosesNothing) {
  train_small("--out run --max-steps 3");
  const std::string before = contents(folder_ / "run" / "last" / "state.safetensors");
  folder_.write("train.sh",
                "trap '' XFSZ; ulimit -f 1; " + program_ + " train --resume run >/dev/null 2>err; echo $? >code");
  ASSERT_EQ(std::system(("cd " + folder_.path().string() + " && bash train.sh").c_str()), 0);
  EXPECT_EQ(contents(folder_ / "code"), "1\n");
  EXPECT_THAT(contents(folder_ / "err"), HasSubstr("cannot be written: File too large"));
  EXPECT_EQ(contents(folder_ / "run" / "last" / "state.safetensors"), before);
}

TEST_F(Program, TrainsOnTheRealReviews) {
  REEL_REQUIRE_DATA(data);
  for (const char* source : {"aclImdb_v1.tar.gz", "imdb.npz"}) {
    const Result result = reel("train --max-steps 20 --evaluate end --out run-" + std::string(source) + " --data " +
                               (data / source).string());
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("1,313,025 parameters"));
    EXPECT_THAT(result.out, HasSubstr("padding check: 57.0 % of the rows end in padding, median 22 of 200 steps"));
  }
}

}  // namespace
}  // namespace reel
