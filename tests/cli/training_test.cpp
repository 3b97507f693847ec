// What `reel train` says and does with its flags, beyond what a run leaves in its folder.
#include <nlohmann/json.hpp>
#include <sstream>

#include "host/files/limits.h"
#include "kernels/contract/cells.h"
#include "kernels/make_backend.h"
#include "tests/cli/program.h"

namespace reel {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

TEST_F(Program, SaysWhatItTrains) {
  std::string rows = "text,label\n";
  for (int i = 0; i < 150; ++i) {
    rows += i % 2 == 0 ? "dull,0\n" : "warm,1\n";
    if (i == 39) folder_.write("data/train.csv", rows);
  }
  folder_.write("data/test.csv", rows);
  const std::string train =
      "train --device cpu --data " + (folder_ / "data").string() + " --embedding-dim 4 --hidden-size 30 --epochs 1 ";
  const Result last = reel(train + "--out last");
  EXPECT_EQ(last.code, 0) << last.err;
  EXPECT_THAT(last.out, HasSubstr("train.csv: 40 training, 0 validation, 150 test reviews; 6 ids\n"));
  EXPECT_THAT(last.out, HasSubstr("Embedding(6, 4) -> RNN(30, tanh) -> last -> Dense(1), 1,105 parameters\n"));
  EXPECT_THAT(last.out, testing::ContainsRegex("device: [^ ]")) << "the processor's name without the space before it";
  EXPECT_THAT(last.out, testing::Not(HasSubstr("orthogonal weights")));
  EXPECT_THAT(reel(train + "--pool mean --out mean").out, HasSubstr(" -> mean -> "));
  EXPECT_THAT(reel(train + "--hidden-size 1024 --max-steps 1 --maxlen 2 --out wide").out,
              HasSubstr("orthogonal weights of 1024 x 1024: this takes a while"));
}

TEST_F(Program, EveryOptimizerTrainsWithItsNumbers) {
  for (const std::string numbers :
       {"adam --beta1 0.8 --beta2 0.99 --epsilon 1e-6", "adamw --beta1 0.8 --beta2 0.99 --epsilon 1e-6",
        "sgd --momentum 0.9 --nesterov", "rmsprop --momentum 0.9 --rho 0.8 --epsilon 1e-6", "adagrad --epsilon 1e-6"}) {
    train_small("--weight-decay 0.1 --optimizer " + numbers + " --out " + numbers.substr(0, numbers.find(' ')));
  }
}

/// The same bits at any number of threads, interrupted or not; the program knows its model again.
TEST_F(Program, EveryNetworkTrainsStopsAndGoesOn) {
  std::vector<std::string> networks;
  for (const CellTraits& cell : kCells) networks.emplace_back(cell.name);
  networks.emplace_back("gru --layers 2 --layer-dropout 0.3 --pool concat");
  networks.emplace_back("lstm --bidirectional --pool max");
  networks.emplace_back("tanh --layers 3 --bidirectional --layer-dropout 0.2 --variational --pool mean");
  networks.emplace_back("gru --bptt 2 --embedding-dropout 0.4");
  for (const std::string& network : networks) {
    SCOPED_TRACE(network);
    const std::string name = std::to_string(&network - networks.data());
    const std::string flags = "--device cpu --epochs 2 --cell " + network;
    train_small(flags + " --threads 2 --out whole-" + name);
    train_small(flags + " --threads 1 --max-steps 3 --out parts-" + name);
    const Result resumed = reel("train --threads 1 --resume parts-" + name);
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_EQ(contents(folder_ / ("parts-" + name) / "model.safetensors"),
              contents(folder_ / ("whole-" + name) / "model.safetensors"));
    const Result prediction = reel("predict whole-" + name + " \"a warm film\"");
    EXPECT_EQ(prediction.code, 0) << prediction.err;
    EXPECT_THAT(prediction.out, HasSubstr("\"probability\":"));
  }
}

/// A line after each word; the last one is that of the whole text, as long as a row has room for it.
TEST_F(Program, AStreamGoesOnWithItsState) {
  const std::string text = "A warm,\tgood film...\nbut dull.";
  for (const std::string network : {"tanh", "gru --layers 2", "lstm"}) {
    SCOPED_TRACE(network);
    const std::string name = network.substr(0, network.find(' '));
    train_small("--device cpu --cell " + network + " --out " + name);
    const Result whole = reel("predict " + name + " \"$(cat in)\"", text),
                 stream = reel("predict --stream " + name, text);
    EXPECT_EQ(stream.code, 0) << stream.err;
    EXPECT_EQ(std::ranges::count(stream.out, '\n'), 6) << stream.out;
    EXPECT_THAT(stream.out, StartsWith("{\"word\":\"a\",\"logit\":"));
    const std::string last = stream.out.substr(stream.out.rfind("\"logit\""));
    EXPECT_EQ("{" + last, whole.out);
  }
  std::string long_text;
  for (int i = 0; i < 300; ++i) long_text += "good film ";
  EXPECT_EQ(std::ranges::count(reel("predict --stream lstm", long_text).out, '\n'), 600) << "beyond maxlen too";
  train_small("--pool max --out max");
  train_small("--bidirectional --out both");
  train_small("--mask off --out padded");
  expect_failure("predict --stream max", 1, "needs the whole text: its pooling is max", "film");
  expect_failure("predict --stream both", 1, "needs the whole text: it reads it from both ends", "film");
  expect_failure("predict --stream padded", 1, "needs the whole text: its padding is not masked", "film");
  expect_failure("predict --stream tanh film", 2, "--stream: expected a text on standard input");
}

/// Words are those of `reel predict` without --stream, whatever pieces a pipe makes of them.
TEST_F(Program, AStreamReadsWhatItsLineSays) {
  train_small("--device cpu --out run");
  const auto one_by_one = [](const std::string& text) {
    std::vector<std::string> bytes;
    for (const char c : text) bytes.emplace_back(1, c);
    return bytes;
  };
  const auto expect_words = [&](const std::vector<std::string>& pieces, const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& piece : pieces) text += piece;
    SCOPED_TRACE(testing::PrintToString(pieces));
    for (const auto& fed : {pieces, {text}, one_by_one(text)}) {
      const Result result = reel_fed("predict --stream run", fed);
      EXPECT_EQ(result.code, 0) << result.err;
      std::vector<std::string> actual;
      std::istringstream lines(result.out);
      for (std::string line; std::getline(lines, line);) actual.push_back(nlohmann::json::parse(line)["word"]);
      EXPECT_EQ(actual, words);
      if (text.find('\n') < text.size() - 1) continue;  // several lines
      const std::string last = result.out.substr(std::min(result.out.rfind("\"logit\""), result.out.size()));
      EXPECT_EQ("{" + last, reel("predict run", text).out);
    }
  };
  expect_words({"A warm,\tgood film...but dull."}, {"a", "warm", "good", "film", "but", "dull"});
  expect_words({"warm film\r\nbut", " dull\r\n\r\n"}, {"warm", "film", "but", "dull"});
  expect_words({"warm\r", "\nfilm\r"}, {"warm", "film"});
  expect_words({"warm\r", "film\r", " dull\r"}, {"warm\rfilm\r", "dull"});
  expect_words({"warm\r", "film\n"}, {"warm\rfilm"});
  expect_words({"warm film\r\r\n"}, {"warm", "film\r"});
  expect_words({"\xEF\xBB", "\xBFwarm film"}, {"warm", "film"});
  expect_words({"\xEF\xBB\xBF", "\xEF\xBB\xBFwarm"}, {"\xEF\xBB\xBFwarm"});
  expect_words({"warm \xEF\xBB\xBF", "film"}, {"warm",
                                               "\xEF\xBB\xBF"
                                               "film"});
  expect_words({"na\xC3", "\xAF", "f \xC3"}, {"na\xC3\xAF"
                                              "f",
                                              "\xEF\xBF\xBD"});
  EXPECT_THAT(reel("predict --help").out, HasSubstr("one for each word and one for the start id"));
  const std::string all = "a b c d e f g h i j k";  // 12 steps, as --maxlen says
  std::vector<std::string> letters;
  for (const char c : all) {
    if (c != ' ') letters.emplace_back(1, c);
  }
  expect_words({all}, letters);
  for (const std::string nothing : {"", "\r", "\xEF\xBB\xBF\r\n", " \t\n"}) {
    const Result result = reel("predict --stream run", nothing);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out, "");
  }
}

/// Its bytes are looked at once: again at each call of read(), they would take minutes.
TEST_F(Program, AStreamTakesWordsOfTheLengthOfALine) {
  train_small("--device cpu --out run");
  program_ = "timeout 30 " + program_;
  const std::string longest(kMaxLine, 'a');
  const Result taken = reel("predict --stream run", "film " + longest);
  EXPECT_EQ(taken.code, 0) << taken.err;
  EXPECT_EQ(std::ranges::count(taken.out, '\n'), 2);
  for (const char* end : {"", " ", "a film"}) {
    const Result refused = reel("predict --stream run", "film " + longest + "a" + end);
    expect_one_line(refused, 1, "standard input: a word is longer than 16777216 bytes");
    EXPECT_EQ(std::ranges::count(refused.out, '\n'), 1) << "what came before";
  }
}

TEST_F(Program, ALongPresetIsThatOfItsCell) {
  EXPECT_THAT(reel("train --dump-config --preset long").out,
              AllOf(HasSubstr("maxlen = 400\n"), HasSubstr("pool = \"concat\"\n"), HasSubstr("epochs = 5\n")));
  EXPECT_THAT(reel("train --dump-config --preset long --cell lstm").out,
              AllOf(HasSubstr("epochs = 4\n"), HasSubstr("embedding-dropout = 0.3\n")));
  EXPECT_THAT(reel("train --dump-config --preset long --nonlinearity gru").out,
              AllOf(HasSubstr("epochs = 4\n"), HasSubstr("embedding-dropout = 0.2\n")));
  EXPECT_THAT(reel("train --dump-config --preset long --cell gru --epochs 7").out, HasSubstr("epochs = 7\n"));
  EXPECT_THAT(reel("train --dump-config --preset long --cell lstm --nonlinearity gru").out,
              AllOf(HasSubstr("cell = \"gru\"\n"), HasSubstr("embedding-dropout = 0.2\n")))
      << "one flag of two names: the last one wins";
  EXPECT_THAT(reel("train --dump-config --preset long --nonlinearity=gru --cell=lstm").out,
              AllOf(HasSubstr("cell = \"lstm\"\n"), HasSubstr("embedding-dropout = 0.3\n")));
  folder_.write("c.toml", "cell = 'lstm'\n");
  EXPECT_THAT(reel("train --dump-config --preset long --config c.toml --nonlinearity gru").out,
              AllOf(HasSubstr("cell = \"gru\"\n"), HasSubstr("embedding-dropout = 0.2\n")));
}

TEST_F(Program, UsesTheProcessorsThatItMayUse) {
  EXPECT_THAT(reel("info", "", "taskset -c 0").out, HasSubstr(", 1 thread"));
}

TEST_F(Program, SaysHowLongEachPartTook) {
  const Result result = reel("train --data " + fixture("aclImdb.tar.gz").string() + kSmall + "--quiet --timings");
  EXPECT_EQ(result.code, 0) << result.err;
  for (const char* range : {"epoch ", "  step ", "    rnn_forward ", "    optimizer ", "evaluate "}) {
    EXPECT_THAT(result.out, HasSubstr(range));
  }
}

TEST_F(Program, WhatOnlyAGpuHasIsRefusedOnTheCpu) {
  const std::string cpu = "train --device cpu --data " + fixture("aclImdb.tar.gz").string();
  for (const char* flags : {" --recurrence cudnn", " --recurrence cudnn-standard", " --recurrence cudnn-persist-static",
                            " --recurrence cudnn-persist-dynamic", " --recurrence cudnn-persist-small-h",
                            " --profile 3", " --profile 1", " --no-graph"}) {
    expect_failure(cpu + flags, 1, "needs --device cuda, found cpu");
  }
  train_small("--device cpu --timings --out run");  // implies --no-graph
  for (const std::string command : {"eval run --data x", "predict run film", "info"}) {
    expect_failure(command + " --device cpu --no-graph", 1, "--no-graph: needs --device cuda, found cpu");
  }
}

TEST_F(Program, MixedPrecisionOnTheCpuTrainsOrSaysWhatItNeeds) {
  const std::string flags =
      "train --device cpu --precision mixed --data " + fixture("aclImdb.tar.gz").string() + kSmall;
  if (!cpu_has(MixedProducts::kAuto)) {
    return expect_failure(flags, 1, "needs a CUDA device or a processor with AVX512-BF16");
  }
  const Result result = reel(flags + " --out run");
  EXPECT_EQ(result.code, 0) << result.err;
  const MixedProducts fastest = fastest_mixed_products();
  const bool rounds = fastest != MixedProducts::kFloat32;
  EXPECT_THAT(result.out, HasSubstr(rounds ? "recurrence: bfloat16 products" : "recurrence: float32"));
  EXPECT_EQ(result.out.find("warning: --precision mixed") != std::string::npos, !rounds);
  EXPECT_THAT(contents(folder_ / "run" / "config.toml"),
              HasSubstr(std::string("mixed-products = \"") + name_of(fastest) + "\"\n"));
  EXPECT_THAT(reel("train --precision mixed --dump-config").out, HasSubstr("mixed-products = \"auto\"\n"));
}

/// A run that goes on multiplies as it began, whatever the processor would choose: other products, other bits.
TEST_F(Program, MixedProductsAreKeptOnResume) {
  const std::string train =
      "train --device cpu --precision mixed --data " + fixture("aclImdb.tar.gz").string() + kSmall;
  for (const MixedProducts products : {MixedProducts::kFloat32, MixedProducts::kBf16, MixedProducts::kAmx}) {
    if (!cpu_has(products)) continue;  // kernels_test has tests of each, which skip by name
    const std::string name = name_of(products), flag = " --mixed-products " + name;
    SCOPED_TRACE(name);
    ASSERT_EQ(reel(train + flag + " --out whole-" + name).code, 0);
    ASSERT_EQ(reel(train + flag + " --max-steps 1 --out " + name).code, 0);
    const Result resumed = reel("train --resume " + name);
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_EQ(load_model(folder_ / name / "model.safetensors").parameters,
              load_model(folder_ / ("whole-" + name) / "model.safetensors").parameters);
    ASSERT_EQ(reel(train + flag + " --max-steps 1 --out other-" + name).code, 0);
    EXPECT_EQ(reel("train --resume other-" + name + " --precision float32").code, 0);
  }
  expect_failure("train --resume float32 --mixed-products bf16", 2, "--mixed-products: a resumed run keeps the flags");
  if (cpu_has(MixedProducts::kAmx)) {  // elsewhere the system may keep it from the process
    const Result refused = reel("train --resume amx", "", fault("no-amx", "nothing", 0));
    expect_one_line(refused, 1, "--mixed-products amx: needs a processor with AMX-BF16, found ");
    EXPECT_THAT(refused.err, EndsWith("; --precision float32 works without\n"));
  }
  // As versions without the flag wrote it, all of which multiplied bfloat16 by vectors.
  std::string config = contents(folder_ / "float32" / "config.toml");
  const std::string line = "mixed-products = \"float32\"\n";
  ASSERT_NE(config.find(line), std::string::npos);
  folder_.write("old/config.toml", config.erase(config.find(line), line.size()));
  std::filesystem::create_directory(folder_ / "old" / "last");
  if (!cpu_has(MixedProducts::kBf16)) {
    return expect_failure("train --resume old", 1, "--mixed-products bf16: needs a processor with AVX512-BF16");
  }
  EXPECT_THAT(reel("train --resume old").out, HasSubstr("bfloat16 products (AVX512-BF16)"));
}

TEST_F(Program, MixedProductsAreChosenWhenAFloat32RunGoesOnAsMixed) {
  const auto chosen = [&] {
    const std::string config = contents(folder_ / "run" / "config.toml"), key = "mixed-products = \"";
    const std::size_t begin = config.find(key) + key.size();
    return config.substr(begin, config.find('"', begin) - begin);
  };
  train_small("--device cpu --max-steps 1 --out run");
  ASSERT_EQ(reel("train --resume run --max-steps 2").code, 0);
  EXPECT_EQ(chosen(), "auto");
  if (!cpu_has(MixedProducts::kAuto)) {
    return expect_failure("train --resume run --precision mixed", 1, "--precision float32 works without");
  }
  const Result mixed = reel("train --resume run --precision mixed --max-steps 3");
  ASSERT_EQ(mixed.code, 0) << mixed.err;
  const std::string fastest = name_of(fastest_mixed_products());
  EXPECT_EQ(chosen(), fastest);
  // As if that had been on a processor that knows no other products.
  std::string config = contents(folder_ / "run" / "config.toml");
  folder_.write("run/config.toml", config.replace(config.find('"' + fastest + '"'), fastest.size() + 2, "\"float32\""));
  const Result again = reel("train --resume run --precision mixed --max-steps 4");
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("recurrence: float32"));
  EXPECT_EQ(chosen(), "float32");
  EXPECT_EQ(reel("train --resume run").code, 0);
}

TEST_F(Program, MixedProductsAreOfMixedPrecisionOnTheCpu) {
  const std::string data = " --data " + fixture("aclImdb.tar.gz").string();
  const std::string unused =
      "warning: --mixed-products amx: does nothing without --precision mixed on a CPU, found float32\n";
  const Result trained = reel("train --device cpu --mixed-products amx --out run" + data + kSmall);
  EXPECT_EQ(trained.code, 0) << trained.err;
  EXPECT_THAT(trained.out, HasSubstr(unused));
  EXPECT_THAT(reel("train --config run/config.toml --out again").out, HasSubstr(unused));
  for (const std::string& command :
       std::vector<std::string>{"predict run film", "eval run" + data, "info", "info run"}) {
    const Result result = reel(command + " --device cpu --mixed-products amx");
    EXPECT_EQ(result.code, 0) << command;
    EXPECT_THAT(result.err, StartsWith("reel: " + unused)) << command;
  }
  expect_failure("info --mixed-products tiles", 2, "--mixed-products: 'tiles', expected auto|float32|bf16|amx");
  const bool amx = cpu_has(MixedProducts::kAmx);
  const Result result = reel("train --device cpu --precision mixed --mixed-products amx" + data + kSmall);
  EXPECT_EQ(result.code, amx ? 0 : 1);
  EXPECT_THAT(
      amx ? result.out : result.err,
      HasSubstr(amx ? "bfloat16 products (AMX)" : "--mixed-products amx: needs a processor with AMX-BF16, found"));
}

/// Finite weights may give logits that are no numbers: those are neither right nor wrong.
TEST_F(Program, AnEvaluationThatIsNoNumberIsDivergence) {
  for (const std::string evaluate : {"epoch", "end"}) {
    const Result result =
        reel("train --data " + fixture("aclImdb.tar.gz").string() +
             " --maxlen 12 --batch-size 6 --optimizer adagrad --clip-norm 0 --nonlinearity relu --lr 1e12"
             " --schedule constant --warmup 0 --hidden-size 64 --epochs 1 --out " +
             evaluate + " --evaluate " + evaluate);
    EXPECT_EQ(result.code, 3) << result.err;
    EXPECT_THAT(result.out, HasSubstr("test loss nan: training stopped"));
    EXPECT_FALSE(std::filesystem::exists(folder_ / evaluate / "summary.json"));
  }
}

TEST_F(Program, DivergenceExits3) {
  const Result result =
      reel("train --data " + fixture("aclImdb.tar.gz").string() + kSmall +
           "--nonlinearity relu --optimizer sgd --lr 1e30 --schedule constant --warmup 0 --clip-norm 0");
  EXPECT_EQ(result.code, 3) << result.err;
  EXPECT_THAT(result.err, HasSubstr("training diverged; nothing was saved; try a lower --lr"));
}

/// Nobody has to read the error for the exit code to be its own.
TEST_F(Program, AnErrorThatNobodyReadsChangesNothing) {
  train_small("--out run");
  folder_.write("rows.csv", "text,label\nfilm unseen unheard unknown,1\nunheard,0\n");
  const std::string diverges =
      "train --data " + fixture("aclImdb.tar.gz").string() + kSmall +
      "--nonlinearity relu --optimizer sgd --lr 1e30 --schedule constant --warmup 0 --clip-norm 0";
  for (const std::string error : {"2>&-", "2>/dev/full"}) {
    for (const auto& [command, code, part] :
         {std::tuple(diverges, "3\n", "training stopped"), {"eval run --data rows.csv", "0\n", "accuracy"}}) {
      folder_.write("lost.sh", program_ + " " + command + " >lost " + error + "; echo $? >code");
      ASSERT_EQ(std::system(("cd " + folder_.path().string() + " && bash lost.sh").c_str()), 0);
      EXPECT_EQ(contents(folder_ / "code"), code) << command << error;
      EXPECT_THAT(contents(folder_ / "lost"), HasSubstr(part));
    }
  }
}

TEST_F(Program, PrintsNoControlCharactersOfAPath) {
  const std::string name = "x\x1b[31m.csv";
  folder_.write(name, "text,label\nwarm film,1\ndull film,0\nwarm,1\ndull,0\nfilm,1\n");
  folder_.write("c.toml", "data = \"x\\u001b[31m.csv\"\n");
  const Result trained = reel("train --config c.toml --out run" + std::string(kSmall));
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_THAT(trained.out, HasSubstr("x?[31m.csv"));
  const Result evaluated = reel("eval run --data x*.csv");
  EXPECT_THAT(evaluated.err, HasSubstr("x?[31m.csv: the model was trained on these reviews"));
  EXPECT_EQ((trained.out + trained.err + evaluated.out + evaluated.err).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace reel
