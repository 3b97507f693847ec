// Files and arguments from strangers: one line each, and no crash.
#include <iterator>
#include <nlohmann/json.hpp>

#include "host/files/safetensors.h"
#include "host/model/checkpoint.h"
#include "tests/cli/program.h"

namespace reel {
namespace {

using BadInput = Program;
using testing::HasSubstr;

TEST_F(BadInput, IdsAreComparedAsTheNumbersThatTheyAre) {
  train_small("--out run");
  for (const char* id : {"18446744073709551615", "9223372036854775813", "4294967300", "-1", "1.0", "\"1\"", "null"}) {
    expect_failure("predict run --input ids", 1, std::string("input 1: id ") + id + ", expected 0 to",
                   std::string("{\"ids\": [1, ") + id + "]}\n");
  }
}

TEST_F(BadInput, DeepJsonIsRefusedWhereverItIsRead) {
  train_small("--out run");
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  expect_failure("predict run --input ids", 1, "input 1: JSON nested deeper than 32", "{\"ids\": [" + deep + "]}\n");
  folder_.write("a.jsonl", "{\"text\": \"x\", \"label\": " + deep + "}\n");
  expect_failure("train --data a.jsonl", 1, "a.jsonl:1: JSON nested deeper than 32");
  std::string header = "{\"a\":{\"dtype\":\"F32\",\"shape\":" + deep + ",\"data_offsets\":[0,4]}}";
  const std::uint64_t size = header.size();
  folder_.write("m.safetensors", std::string(reinterpret_cast<const char*>(&size), sizeof size) + header);
  expect_failure("info m.safetensors", 1, "m.safetensors: header: JSON nested deeper than 32");
  folder_.write("p/prepared.json", deep);
  expect_failure("train --data p", 1, "prepared.json: JSON nested deeper than 32");
  folder_.write("n/imdb.npz", contents(fixture("imdb.npz")));
  folder_.write("n/imdb_word_index.json", "{\"a\": " + deep + "}");
  expect_failure("train --data n/imdb.npz", 1, "imdb_word_index.json: JSON nested deeper than 32");
}

TEST_F(BadInput, ArgumentsThatLookLikeNumbers) {
  for (const char* flags : {"--lr nan", "--dropout nan", "--lr inf", "--clip-norm -1", "--lr 1e-400", "--lr 0x1p-3"}) {
    expect_failure(std::string("train ") + flags, 2, ", expected a number from 0 to ");
  }
  for (const char* seed : {"-1", "18446744073709551616", "0x10", "1.5"}) {
    expect_failure(std::string("train --seed ") + seed, 2,
                   fmt::format("--seed: '{}', expected a whole number from 0 to 18446744073709551615", seed));
  }
  expect_failure("train --epochs 1e3", 2, "--epochs: '1e3', expected a whole number from 1 to 100000");
  EXPECT_THAT(reel("train --dump-config --epochs 010").out, HasSubstr("epochs = 10\n")) << "decimal";
  expect_failure("train --drop-longer +-1", 2, "'+-1', expected a whole number from -1 to ");
  for (const char* flags : {"--beta1 0.5 --optimizer sgd", "--epsilon 1 --optimizer sgd", "--rho 0.5", "--momentum 0.5",
                            "--nesterov", "--beta2 0.5 --optimizer rmsprop"}) {
    const std::string all = flags, flag = all.substr(0, all.find(' '));
    expect_failure("train " + all, 2, flag + ": not one of this --optimizer's numbers");
  }
  expect_failure("train --skip-top 100 --data " + fixture("aclImdb.tar.gz").string() + " --out none", 1,
                 "its rows hold no word with an id of its own");
  expect_failure("train --maxlen 1 --truncating post --data " + fixture("aclImdb.tar.gz").string() + " --out none", 1,
                 "its rows hold no word");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none"));
  for (const char* interval : {"0x10", "1e3", "-1", "1.5", "0m", "m", "1mm"}) {
    expect_failure(std::string("train --checkpoint-every ") + interval, 2, ", expected minutes as in 5m, or steps");
  }
  EXPECT_THAT(reel("train --dump-config --checkpoint-every 0.5m").out, HasSubstr("checkpoint-every = \"0.5m\"\n"));
  folder_.write("c.toml", "hidden-size = 5 # units\nlr = 1e-400# so\n");
  expect_failure("train --dump-config --config c.toml", 1, "c.toml:2: ");
  for (const char* line : {"lr = inf", "epochs = 2.0", "epochs = 1e1"}) {
    folder_.write("c.toml", "hidden-size = 5 # units\n" + std::string(line) + "# so\n");
    expect_failure("train --dump-config --config c.toml", 1, std::string("c.toml: --"));
  }
  folder_.write("c.toml", "\"lr\"=1_0e-2\r\n epochs\t= +1_0 # ten");
  EXPECT_THAT(reel("train --dump-config --config c.toml").out,
              AllOf(HasSubstr("epochs = 10\n"), HasSubstr("lr = 10e-2\n")));
}

/// As of variables that nobody set. What follows an empty value is none of it.
TEST_F(BadInput, EmptyPathsAreRefused) {
  train_small("--out run");
  for (const char* command : {"train --resume ''", "train --resume= run", "train --config ''", "train --out ''",
                              "train --out= --quiet", "train --data ''", "train --test-data ''", "train --init-from ''",
                              "prepare --data '' --out p", "prepare --data x --out ''", "prepare --data x --out=",
                              "eval ''", "eval run --data ''", "predict '' text", "info ''"}) {
    expect_failure(command, 2, ": '', expected a path");
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 4) << "run, in, out, err";
}

TEST_F(BadInput, BracketsAndWindowsLinesAreText) {
  train_small("--out run");
  const std::string film = reel("predict run 'warm film'").out;
  EXPECT_EQ(reel("predict run '[warm, film]'").out, film) << "punctuation is no word; one text, not two";
  for (const char* empty : {"'[]'", "'{}'", "'[[]]'"}) {
    EXPECT_EQ(reel(std::string("predict run ") + empty, "warm film\n").out, reel("predict run ''").out) << empty;
  }
  EXPECT_EQ(reel("predict run ++ 'warm film'").out, reel("predict run ''").out + film) << "CLI11's end of a command";
  EXPECT_EQ(reel("predict run", "warm film\r\n").out, film);
  EXPECT_EQ(reel("predict run", "\xEF\xBB\xBFwarm film").out, film) << "a byte order mark";
}

TEST_F(BadInput, ConfigurationsRoundTripWhateverTheyHold) {
  for (const std::string path :
       {"set#2", "both ' and \" quotes", "a\nlr = 1", "back\\slash", "123", "0x10", "1e5", "true"}) {
    folder_.write("path", path);
    const Result first = reel("train --dump-config --data \"$(cat path)\"");
    ASSERT_EQ(first.code, 0) << first.err;
    folder_.write("c.toml", first.out);
    EXPECT_EQ(reel("train --dump-config --config c.toml").out, first.out) << path;
    EXPECT_EQ(std::ranges::count(first.out, '\n'), std::ranges::count(reel("train --dump-config --data x").out, '\n'));
  }
  // What TOML does not take for a number, or for another one, CLI11 does.
  for (const char* flag : {"--dropout .5", "--lr 1.", "--epochs 04", "--lr 1e5", "--seed 18446744073709551615",
                           "--optimizer sgd --nesterov=yes", "--clip-norm +0.5"}) {
    const Result first = reel(std::string("train --dump-config ") + flag);
    ASSERT_EQ(first.code, 0) << first.err;
    folder_.write("c.toml", first.out);
    EXPECT_EQ(reel("train --dump-config --config c.toml").out, first.out) << flag;
  }
  folder_.write("c.toml", "init-from = \"\"\ntest-data = ''\nepochs = 7\n");
  EXPECT_THAT(reel("train --dump-config --config c.toml").out, HasSubstr("epochs = 7\n")) << "as older versions wrote";
  folder_.write("c.toml", "hidden-size = \"\"\n");
  expect_failure("train --config c.toml", 1, "c.toml: --hidden-size: '', expected a whole number");
  EXPECT_THAT(reel("train --dump-config --optimizer sgd --nesterov=on").out, HasSubstr("nesterov = true\n"));
  folder_.write("c.toml", "optimizer = 'sgd'\nnesterov = 3\n");
  expect_failure("train --config c.toml", 1, "c.toml: key 'nesterov' is '3', expected true or false");
  for (const std::string word : {"'yes'", "'on'", "1", "'TRUE'", "''"}) {
    for (const std::string key : {"bidirectional", "variational", "keras-exact", "no-graph"}) {
      folder_.write("c.toml", key + " = " + word + "\n");
      expect_failure("train --dump-config --config c.toml", 1, "c.toml: key '" + key + "' is '");
      expect_failure("train --dump-config --config c.toml", 1, "', expected true or false");
    }
  }
  folder_.write("c.toml", "bidirectional = true\n");
  EXPECT_THAT(reel("train --dump-config --config c.toml").out, HasSubstr("bidirectional = true\n"));
  folder_.write("c.toml", "epochs = 7\nhidden-size == 5\n");
  expect_failure("train --config c.toml", 1, "c.toml:2: ");
  folder_.write("c.toml", "data = \"a\\u0000b\"\n");
  expect_failure("train --config c.toml", 1, "c.toml: key 'data': a zero byte in 'a?b'");
  folder_.write("path", "\xff");
  expect_failure("train --dump-config --data \"$(cat path)\"", 1, "--data: '");
  expect_failure("train --dump-config --data \"$(cat path)\"", 1,
                 "expected something that a TOML file can hold: UTF-8");
}

/// What fuzzing found: each was more than one line, or no Error.
TEST_F(BadInput, MessagesAreOneLineWhateverTheyQuote) {
  train_small("--out run");
  expect_failure("predict run --input ids", 1, "input 1: not JSON: number overflow", "{\"ids\": [1e30877588]}\n");
  const std::string row = "{\"text\": \"x\", \"label\": \"a\\nb\\u001b[2J\\u009b\"}\n";
  folder_.write("a.jsonl", row + row);
  expect_failure("train --data a.jsonl", 1,
                 "all 2 rows have the label 'a b [2J?"
                 "?'");
  folder_.write("c.toml", "[\n");
  expect_failure("train --config c.toml", 1, "c.toml");
  folder_.write("c.toml", "mask = \"a\\nb\\u001b[2J\\u009b\"\n");
  expect_failure("train --config c.toml", 1, "c.toml: --mask: ");
  EXPECT_THAT(contents(folder_ / "err"), testing::AllOf(HasSubstr("a?b?[2J??"), testing::Not(HasSubstr("\x1b"))));
  std::string dots;
  for (int i = 0; i < 200000; ++i) dots += "a.";
  folder_.write("c.toml", dots + "b = 1\n");
  expect_failure("train --config c.toml", 1, "c.toml: more than 16384 bytes of TOML");
  expect_failure("train --config /dev/zero", 1, "/dev/zero: more than 16384 bytes of TOML");
  folder_.write("c.toml", dots.substr(0, 16000) + "b = 1\n");
  expect_failure("train --config c.toml", 1, "c.toml:1: key 'a' is not a single value");
  folder_.write("c.toml", "epochs = \"many\"\n");
  expect_failure("train --config c.toml", 1, "c.toml: ");
  folder_.write("a.csv", "text,label\nx," + std::string(3000000, 'y') + "\n");
  expect_failure("train --data a.csv", 1, "a.csv:2: label 'yyy");
  EXPECT_LT(contents(folder_ / "err").size(), 1100u);
  ASSERT_EQ(std::system(("cd " + folder_.path().string() +
                         " && mkdir -p 'a\nb/train/pos' && echo x >'a\nb/train/pos/0_7.txt' && "
                         "tar czf long.tar.gz 'a\nb' && head -c 120 long.tar.gz >cut.tar.gz")
                            .c_str()),
            0);
  expect_failure("train --data cut.tar.gz", 1, "damaged archive");
}

/// What would not fit the memory, or would not end.
TEST_F(BadInput, LinesAndListsHaveAnEnd) {
  train_small("--out run");
  folder_.write("long.sh", program_ + " predict run </dev/zero >out 2>err; echo $? >code; " + program_ +
                               " predict run <&- >>out 2>>err; echo $? >>code");
  ASSERT_EQ(std::system(("cd " + folder_.path().string() + " && bash long.sh").c_str()), 0);
  EXPECT_EQ(contents(folder_ / "err"),
            "reel: standard input: line 1 is longer than 16777216 bytes\n"
            "reel: standard input: cannot be read: Bad file descriptor\n");
  EXPECT_EQ(contents(folder_ / "code"), "1\n1\n");
  std::string ids = "{\"ids\": [1";
  for (int i = 0; i < (1 << 21); ++i) ids += ",1";
  expect_failure("predict run --input ids", 1, "input 1: more than 2097152 values of JSON", ids + "]}\n");
}

/// It would be read as prepared from then on, whatever becomes of its texts.
TEST_F(BadInput, DataAreNotPreparedIntoTheirOwnFolder) {
  folder_.write("csv/train.csv", "text,label\ngood,1\nbad,0\n");
  expect_failure("prepare --data csv --out csv/", 1, "--out csv/: the folder of csv, which");
  EXPECT_EQ(reel("prepare --data csv --out prepared").code, 0);
  // A moment in which it is neither the old nor the new one would lose it.
  expect_failure("prepare --data prepared --out prepared", 1, "--out prepared: the folder of prepared");
  expect_failure("prepare --data csv/train.csv --out csv", 1, "--out csv: the folder of csv/train.csv");
  folder_.write("test.csv", "text,label\ngood,1\nbad,0\n");
  expect_failure("prepare --data csv/train.csv --test-data test.csv --out .", 1, "--out .: the folder of test.csv");
}

/// A reader who has seen enough ends no training.
TEST_F(BadInput, OutputThatIsClosedLosesNoRun) {
  folder_.write("closed.sh", "mkfifo pipe; exec 3<>pipe 4>pipe 3>&-\n" + program_ + " train --data " +
                                 fixture("aclImdb.tar.gz").string() + kSmall + " --out run 2>err >&4; echo $? >code");
  ASSERT_EQ(std::system(("cd " + folder_.path().string() + " && bash closed.sh").c_str()), 0);
  EXPECT_EQ(contents(folder_ / "code"), "1\n");
  EXPECT_THAT(contents(folder_ / "err"), HasSubstr("reel: standard output: "));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "run" / "summary.json"));
}

/// What a stranger's weights say of themselves.
TEST_F(BadInput, InfoIsNoWayToTheTerminal) {
  train_small("--out run");
  const SafetensorsFile file(folder_ / "run" / "model.safetensors");
  auto metadata = file.metadata();
  metadata["a\x1b"] = "b\n\x07";
  write_safetensors(folder_ / "m.safetensors", file.tensors(), metadata);
  EXPECT_THAT(reel("info m.safetensors").out, HasSubstr("a?                 b??\n"));
}

/// A small file must not ask for much memory: here 4 TB, by a row of a million units.
TEST_F(BadInput, WeightsThatDoNotFitTogetherAreRefused) {
  train_small("--out run");
  const SafetensorsFile file(folder_ / "run" / "model.safetensors");
  const std::vector<float> row(1000000, 0.0f), none;
  auto tensors = file.tensors();
  tensors["rnn.weight_hh_l0"] = tensor_view(std::span<const float>(row), {1, 1000000});
  write_safetensors(folder_ / "m.safetensors", tensors, file.metadata());
  expect_failure("info m.safetensors", 1, "tensor 'rnn.weight_ih_l0' is F32 [5, 4], expected F32 [1000000, 4]");
  tensors = file.tensors();
  tensors["embedding.weight"] = tensor_view(std::span<const float>(none), {0, std::int64_t{1} << 62});
  write_safetensors(folder_ / "m.safetensors", tensors, file.metadata());
  expect_failure("info m.safetensors", 1, "m.safetensors: a dimension of 0, expected 1 to");
}

TEST_F(BadInput, TestReviewsThatWouldNotBeReadAreRefused) {
  folder_.write("t.csv", "text,label\ngood,1\nbad,0\n");
  std::filesystem::create_directories(folder_ / "d");
  for (const char* split : {"d/train.csv", "d/test.csv"}) folder_.write(split, "text,label\ngood,1\nbad,0\n");
  for (const std::string& data : {fixture("aclImdb.tar.gz").string(), fixture("imdb.npz").string(), std::string("d")}) {
    expect_failure("train --data " + data + " --test-data t.csv", 1, "has test reviews of its own; expected no others");
    expect_failure("prepare --data " + data + " --test-data t.csv --out p", 1, "has test reviews of its own");
  }
  expect_failure("train --test-data t.csv", 1, "expected --data beside it");
}

TEST_F(BadInput, WeightsThatAreNoNumbersAreRefused) {
  train_small("--out run");
  SafetensorsFile file(folder_ / "run" / "model.safetensors");
  auto tensors = file.tensors();
  std::vector<float> bias = {std::numeric_limits<float>::quiet_NaN()};
  tensors["fc.bias"] = tensor_view(std::span<const float>(bias), {1});
  for (const char* name : {"vocab.txt", "labels.txt"}) {
    folder_.write(std::string("run2/") + name, contents(folder_ / "run" / name));
  }
  write_safetensors(folder_ / "run2" / "model.safetensors", tensors, file.metadata());
  expect_failure("predict run2 film", 1, "model.safetensors: 'fc.bias' holds what is no number");
  // Finite weights whose logits are not: what was printed before stays, once.
  std::vector<float> weight(5, 3e38f), large(5, 3e38f);
  tensors["fc.bias"] = file.tensors().at("fc.bias");
  tensors["fc.weight"] = tensor_view(std::span<const float>(weight), {1, 5});
  tensors["rnn.bias_ih_l0"] = tensor_view(std::span<const float>(large), {5});
  write_safetensors(folder_ / "run2" / "model.safetensors", tensors, file.metadata());
  expect_failure("eval run2 --split train --data " + fixture("aclImdb.tar.gz").string(), 1, "which is no number");
  std::string inputs;
  for (int i = 0; i < 255; ++i) inputs += "{\"ids\": []}\n";  // with the next one, a batch
  const Result result = reel("predict run2 --input ids", inputs + "{\"ids\": [4]}\n");
  expect_one_line(result, 1, "model.safetensors: the model gives");
  EXPECT_EQ(std::ranges::count(result.out, '\n'), 255);
  auto metadata = file.metadata();
  metadata["oov_char"] = "5000";
  write_safetensors(folder_ / "run2" / "model.safetensors", file.tensors(), metadata);
  expect_failure("eval run2 --data " + fixture("aclImdb.tar.gz").string(), 1, "oov_char 5000");
}

/// The state is 0 until the first word that is "film", and 1 from there on, where the logit overflows.
TEST_F(BadInput, AStreamKeepsTheLinesBeforeAnError) {
  train_small("--out run");
  SafetensorsFile file(folder_ / "run" / "model.safetensors");
  auto tensors = file.tensors();
  const std::vector<std::int64_t> shape = tensors.at("embedding.weight").shape;
  std::vector<float> embedding(static_cast<std::size_t>(shape[0] * shape[1])), ones(20, 1), zeros(25), huge(5, 3e38f);
  std::fill_n(embedding.begin() + 4 * shape[1], shape[1], 100.0f);  // id 4
  tensors["embedding.weight"] = tensor_view(std::span<const float>(embedding), shape);
  tensors["rnn.weight_ih_l0"] = tensor_view(std::span<const float>(ones), {5, 4});
  tensors["rnn.weight_hh_l0"] = tensor_view(std::span<const float>(zeros), {5, 5});
  for (const char* bias : {"rnn.bias_ih_l0", "rnn.bias_hh_l0"}) {
    if (tensors.contains(bias)) tensors[bias] = tensor_view(std::span<const float>(zeros).first(5), {5});
  }
  tensors["fc.weight"] = tensor_view(std::span<const float>(huge), {1, 5});
  for (const char* name : {"vocab.txt", "labels.txt"}) {
    folder_.write(std::string("run2/") + name, contents(folder_ / "run" / name));
  }
  write_safetensors(folder_ / "run2" / "model.safetensors", tensors, file.metadata());
  const Result result = reel("predict --stream run2", "a warm film and more");
  expect_one_line(result, 1, "model.safetensors: the model gives");
  EXPECT_EQ(std::ranges::count(result.out, '\n'), 2) << result.out;
}

}  // namespace
}  // namespace reel
