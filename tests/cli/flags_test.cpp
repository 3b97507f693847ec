// Flags by themselves and, at the end, together: what a cell or a device does not have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "host/cli/config_file.h"
#include "host/cli/train_options.h"
#include "kernels/contract/cells.h"
#include "kernels/make_backend.h"
#include "tests/cli/program.h"

namespace reel {
namespace {

/// A combination that is refused: the values that it has, all of them, the exit code and what the line says.
struct Refusal {
  std::vector<std::string> values;
  int code;
  std::string line;
};

/// All values of some flags, and which of them are refused together.
struct Matrix {
  std::vector<std::vector<std::string>> flags;
  std::vector<Refusal> refusals, stream_refusals;  // by reel train, by reel predict --stream

  /// Those of a combination of values, which may be of some flags only.
  static std::vector<const Refusal*> matching(const std::vector<Refusal>& refusals,
                                              const std::vector<std::string>& values) {
    std::vector<const Refusal*> found;
    for (const Refusal& refusal : refusals) {
      const auto has = [&](const std::string& value) { return std::ranges::find(values, value) != values.end(); };
      if (std::ranges::all_of(refusal.values, has)) found.push_back(&refusal);
    }
    return found;
  }

  /// Combinations of a value of every flag, such that each pair of values that is not refused stands in one that is not
  /// either. Pairs that are refused have one of their own each in one of the `parts` calls, or here if they are refused
  /// for what stands in every combination.
  std::vector<std::vector<std::string>> combinations(std::size_t part, std::size_t parts) const;
};

std::vector<std::vector<std::string>> Matrix::combinations(std::size_t part, std::size_t parts) const {
  std::vector<std::vector<std::string>> all;
  std::set<std::pair<std::string, std::string>> covered;
  std::vector<std::string> in_all;
  for (const std::vector<std::string>& values : flags) {
    if (values.size() == 1) in_all.push_back(values.front());
  }
  const auto matching_in_all = [&](std::vector<std::string> values) {
    values.insert(values.end(), in_all.begin(), in_all.end());
    return matching(refusals, values);
  };
  const auto refused = [&](const std::vector<std::string>& values) { return matching_in_all(values).size(); };
  const auto refused_here = [&](const std::vector<std::string>& values) {
    return std::ranges::any_of(matching_in_all(values), [&](const Refusal* refusal) {
      return std::ranges::find_first_of(refusal->values, in_all) != refusal->values.end();
    });
  };
  /// The pair in a combination: of each other flag a value that is refused with none before it and, among those, that
  /// with which most pairs are new.
  const auto complete = [&](std::size_t i, const std::string& a, std::size_t j, const std::string& b) {
    std::vector<std::string> values = {a, b};
    for (std::size_t k = 0; k < flags.size(); ++k) {
      if (k == i || k == j) continue;
      std::tuple<std::size_t, std::ptrdiff_t> least = {SIZE_MAX, 0};
      std::string best;
      for (const std::string& value : flags[k]) {
        const auto is_new = [&](const std::string& other) { return !covered.contains(std::minmax(value, other)); };
        const std::ptrdiff_t fresh = std::ranges::count_if(values, is_new);
        values.push_back(value);
        const std::tuple<std::size_t, std::ptrdiff_t> cost = {refused(values), -fresh};
        values.pop_back();
        if (cost < least) std::tie(least, best) = std::tie(cost, value);
      }
      values.push_back(best);
    }
    return values;
  };
  std::size_t pairs = 0;
  for (std::size_t i = 0; i < flags.size(); ++i) {
    for (std::size_t j = i + 1; j < flags.size(); ++j) {
      for (const std::string& a : flags[i]) {
        for (const std::string& b : flags[j]) {
          const std::size_t refused_pair = refused({a, b});
          ++pairs;
          const bool elsewhere = pairs % parts != part && !refused_here({a, b});
          if (refused_pair > 0 ? elsewhere : covered.contains(std::minmax(a, b))) continue;
          all.push_back(complete(i, a, j, b));
          const std::vector<std::string>& values = all.back();
          if (refused_pair > 0) continue;
          EXPECT_EQ(refused(values), 0u) << "no combination has " << a << ' ' << b << ": is a refusal missing?";
          for (const std::string& value : values) {
            for (const std::string& other : values) covered.insert(std::minmax(value, other));
          }
        }
      }
    }
  }
  return all;
}

class Flags : public Program {
 protected:
  explicit Flags(std::string program = built_program()) : Program(std::move(program)) {}

  /// Whether the result is that of an accepted combination or of one of the refusals.
  static void expect_result(const Result& result, const std::vector<const Refusal*>& refusals) {
    if (refusals.empty()) {
      EXPECT_EQ(result.code, 0);
      EXPECT_EQ(result.err, "");
      return;
    }
    const auto says = [&](const Refusal* refusal) {
      return result.code == refusal->code && result.err.find(refusal->line) != std::string::npos;
    };
    EXPECT_TRUE(std::ranges::any_of(refusals, says))
        << "exit code " << result.code << ": " << result.err << "expected: " << refusals.front()->line;
    EXPECT_THAT(result.err, testing::StartsWith("reel: "));
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
  }

  /// Trains a few steps with each cell and the combinations of its part, and streams a text through each model.
  void expect_matrix(const Matrix& matrix) {
    std::set<const Refusal*> seen;
    std::size_t trained = 0;
    for (const CellTraits& cell : kCells) {
      Matrix of_cell = matrix;
      of_cell.flags.insert(of_cell.flags.begin(), {std::string("--cell ") + cell.name});
      const auto part = static_cast<std::size_t>(cell.cell);
      for (const std::vector<std::string>& values : of_cell.combinations(part, kCells.size())) {
        const std::string flags = fmt::format("{}", fmt::join(values, " "));
        SCOPED_TRACE(flags);
        const auto refusals = Matrix::matching(matrix.refusals, values);
        seen.insert(refusals.begin(), refusals.end());
        expect_result(reel("train --quiet --out run --max-steps 2 --evaluate end" + std::string(kSmall) + flags),
                      refusals);
        EXPECT_EQ(std::filesystem::exists(folder_ / "run"), refusals.empty()) << "of what is refused nothing is left";
        if (!std::filesystem::exists(folder_ / "run")) continue;
        ++trained;
        const auto stream_refusals = Matrix::matching(matrix.stream_refusals, values);
        seen.insert(stream_refusals.begin(), stream_refusals.end());
        const Result stream = reel("predict --stream run --threads 1", "warm film");
        expect_result(stream, stream_refusals);
        EXPECT_EQ(std::ranges::count(stream.out, '\n'), stream_refusals.empty() ? 2 : 0);
        std::filesystem::remove_all(folder_ / "run");
      }
    }
    for (const auto& refusals : {std::cref(matrix.refusals), std::cref(matrix.stream_refusals)}) {
      for (const Refusal& refusal : refusals.get()) {
        EXPECT_TRUE(seen.contains(&refusal)) << fmt::format("{}", fmt::join(refusal.values, " ")) << ": not a flag?";
      }
    }
    EXPECT_GT(trained, 4 * kCells.size());
  }

  /// Whatever the device: layers and what lies between, directions, pooling, gradients' reach.
  Matrix networks() const {
    return {.flags = {{"--layers 1", "--layers 2", "--layers 3"},
                      {"--layer-dropout 0", "--layer-dropout 0.3"},
                      {"--variational=false", "--variational"},
                      {"--embedding-dropout 0", "--embedding-dropout 0.3"},
                      {"--bidirectional=false", "--bidirectional"},
                      {"--bptt 0", "--bptt 2", "--bptt 12", "--bptt 13"},
                      {"--pool last", "--pool mean", "--pool max", "--pool concat"},
                      {"--mask on", "--mask off"}},
            .refusals = {{{"--layer-dropout 0.3", "--layers 1"}, 2, "--layer-dropout: expected --layers of 2 or more"},
                         {{"--variational", "--layer-dropout 0"}, 2, "--variational: expected a --layer-dropout"},
                         {{"--variational", "--layers 1"}, 2, "--layer-dropout"},  // by way of either of the two
                         {{"--bptt 13"}, 2, "--bptt: '13', expected at most the 12 steps of --maxlen"}},
            .stream_refusals = {{{"--bidirectional"}, 1, "needs the whole text: it reads it from both ends"},
                                {{"--pool mean"}, 1, "needs the whole text: its pooling is mean"},
                                {{"--pool max"}, 1, "needs the whole text: its pooling is max"},
                                {{"--pool concat"}, 1, "needs the whole text: its pooling is concat"},
                                {{"--mask off"}, 1, "needs the whole text: its padding is not masked"}}};
  }
};

class EmulatedFlags : public Flags {
 protected:
  EmulatedFlags() : Flags(emulated_program()) {}
  void SetUp() override {
    if (!std::filesystem::exists(program_)) GTEST_SKIP() << "needs the CUDA toolkit's headers and x86-64";
  }
};

TEST_F(Flags, AreExplained) {
  CLI::App app("", "train");
  TrainOptions options;
  options.add_to(app);
  for (const CLI::Option* flag : app.get_options()) EXPECT_NE(flag->get_description(), "") << flag->get_name();
}

/// What a model is trained with when nobody says anything: a change here is a change of the recipe.
TEST_F(Flags, HaveTheseDefaults) {
  const auto dumped = [](Preset preset) {
    CLI::App app("", "train");
    TrainOptions options;
    options.config = preset_config(preset);
    options.add_to(app);
    app.parse(std::vector<std::string>{});
    EXPECT_EQ(options.config.checkpoint_every.minutes, 5) << "as the flag says";
    EXPECT_EQ(options.config.checkpoint_every.steps, 0);
    return dump_config(app);
  };
  std::string expected = R"(preset = "recipe"
device = "auto"
precision = "float32"
mixed-products = "auto"
recurrence = "reel"
threads = 0
task = "auto"
vocab-size = 10000
skip-top = 0
drop-longer = -1
start-char = 1
oov-char = 2
index-from = 3
maxlen = 200
padding = "post"
truncating = "pre"
mask = "on"
validation-split = 0
validation = "stratified"
embedding-dim = 128
hidden-size = 128
cell = "tanh"
layers = 1
pool = "last"
init = "keras"
orthogonal = "on"
dropout = 0.5
embedding-dropout = 0
layer-dropout = 0
word-dropout = 0.2
optimizer = "adam"
convention = "keras"
schedule = "linear"
warmup = 0.1
clip-norm = 1
clip-value = 0
epochs = 4
batch-size = 64
bptt = 0
early-stopping = 0
best-by = "auto"
threshold = "0.5"
shuffle = "on"
evaluate = "epoch"
seed = 1
profile = 0
checkpoint-every = "5m"
log-every = 50
)";
  EXPECT_EQ(dumped(Preset::kRecipe), expected);
  for (const auto& [recipe, tutorial] : {std::pair{"recipe", "tutorial"},
                                         {"mask = \"on", "mask = \"off"},
                                         {"validation = \"stratified", "validation = \"last"},
                                         {"\ndropout = 0.5", "\ndropout = 0"},
                                         {"word-dropout = 0.2", "word-dropout = 0"},
                                         {"\"linear", "\"constant"},
                                         {"warmup = 0.1", "warmup = 0"},
                                         {"clip-norm = 1", "clip-norm = 0"},
                                         {"epochs = 4", "epochs = 5"},
                                         {"size = 64", "size = 32"}}) {
    expected.replace(expected.find(recipe), std::string_view(recipe).size(), tutorial);
  }
  EXPECT_EQ(dumped(Preset::kTutorial), expected);
}

/// The least and the most that each takes, and what is beyond.
TEST_F(Flags, HaveLimits) {
  const auto takes = [](const std::string& argument) {
    CLI::App app("", "train");
    TrainOptions options;
    options.add_to(app);
    try {
      app.parse(std::vector<std::string>{argument});
      return true;
    } catch (const CLI::ValidationError&) {
      return false;
    }
  };
  for (const char* good : {"--vocab-size=1",
                           "--skip-top=0",
                           "--drop-longer=-1",
                           "--start-char=-1",
                           "--oov-char=-1",
                           "--index-from=0",
                           "--maxlen=1",
                           "--maxlen=100000",
                           "--validation-split=0",
                           "--validation-split=0.99",
                           "--embedding-dim=1",
                           "--embedding-dim=4096",
                           "--hidden-size=1",
                           "--hidden-size=4096",
                           "--dropout=0",
                           "--dropout=0.99",
                           "--word-dropout=0",
                           "--word-dropout=1",
                           "--lr=0",
                           "--beta1=0",
                           "--beta1=0.999999",
                           "--beta2=0.999999",
                           "--epsilon=0",
                           "--rho=0",
                           "--momentum=0",
                           "--weight-decay=0",
                           "--warmup=0",
                           "--warmup=1",
                           "--clip-norm=0",
                           "--clip-value=0",
                           "--epochs=1",
                           "--epochs=100000",
                           "--batch-size=1",
                           "--batch-size=65536",
                           "--max-steps=0",
                           "--early-stopping=0",
                           "--seed=0",
                           "--profile=0",
                           "--log-every=1",
                           "--log-every=100000",
                           "--threads=0",
                           "--threads=1024"}) {
    EXPECT_TRUE(takes(good)) << good;
  }
  for (const char* bad : {"--vocab-size=0",
                          "--skip-top=-1",
                          "--drop-longer=-2",
                          "--start-char=-2",
                          "--oov-char=-2",
                          "--index-from=-1",
                          "--maxlen=0",
                          "--maxlen=100001",
                          "--validation-split=-0.1",
                          "--validation-split=1",
                          "--embedding-dim=0",
                          "--embedding-dim=4097",
                          "--hidden-size=0",
                          "--hidden-size=4097",
                          "--dropout=-0.1",
                          "--dropout=1",
                          "--word-dropout=-0.1",
                          "--word-dropout=1.1",
                          "--lr=-0.1",
                          "--beta1=1",
                          "--beta2=1",
                          "--epsilon=-1",
                          "--rho=1",
                          "--momentum=1",
                          "--weight-decay=-1",
                          "--warmup=-0.1",
                          "--warmup=1.1",
                          "--clip-norm=-1",
                          "--clip-value=-1",
                          "--epochs=0",
                          "--epochs=100001",
                          "--batch-size=0",
                          "--batch-size=65537",
                          "--max-steps=-1",
                          "--early-stopping=-1",
                          "--seed=-1",
                          "--seed=18446744073709551616",
                          "--profile=-1",
                          "--log-every=0",
                          "--log-every=100001",
                          "--threads=-1",
                          "--threads=1025",
                          "--lr=nan",
                          "--clip-norm=inf"}) {
    EXPECT_FALSE(takes(bad)) << bad;
  }
}

/// Every cell, device and flag of the family, any two together: it trains and predicts or is refused, in one line, as
/// it stands here. All of them together would be a million runs: each cell goes through combinations in which every
/// pair of two other flags' values stands once (a pair that is refused, with one of the cells).
TEST_F(Flags, ApplyToACellAndADeviceOrSayWhyNot) {
  Matrix matrix = networks();
  const std::string cpu = "--device cpu", cuda = "--device cuda";
  std::vector<std::string> engines = {cpu, "--device auto", cpu + " --precision mixed"};
  if (!cpu_has(MixedProducts::kAuto)) {
    matrix.refusals.push_back({{engines.back()}, 1, "--precision mixed: needs a CUDA device or a processor with"});
  }
  for (const std::string only_cuda :
       {"--recurrence cudnn", "--recurrence cudnn-standard", "--no-graph", "--profile 1"}) {
    engines.push_back(cpu + ' ' + only_cuda);
    const std::string flag = only_cuda.substr(0, only_cuda.find(' '));
    const std::string named = flag == "--recurrence" ? "--recurrence cudnn" : flag;
    matrix.refusals.push_back({{engines.back()}, 1, named + ": needs --device cuda, found cpu"});
  }
  for (const std::string& engine : {cuda, cuda + " --precision mixed"}) {
    engines.push_back(engine);
    if (best_device() == DeviceKind::kCpu) matrix.refusals.push_back({{engine}, 1, "--device cuda: "});
  }
  matrix.flags.insert(matrix.flags.begin(), engines);
  const std::string reviews = "--data " + fixture("aclImdb.tar.gz").string(),
                    ids = "--data " + fixture("imdb.npz").string();
  for (const std::vector<std::string>& values : {std::vector<std::string>{reviews, ids},
                                                 {"--keras-exact=false", "--keras-exact"},
                                                 {"--preset recipe", "--preset tutorial", "--preset long"},
                                                 {"--init keras", "--init torch"},
                                                 {"--orthogonal on", "--orthogonal off"}}) {
    matrix.flags.push_back(values);
  }
  matrix.stream_refusals.push_back({{ids}, 1, "the vocabulary has ranks but no words"});
  expect_matrix(matrix);
}

/// The same with what a GPU has, of the flags by which kernels are chosen.
TEST_F(EmulatedFlags, ApplyToACellAndADeviceOrSayWhyNot) {
  Matrix matrix = networks();
  matrix.flags.push_back({"--data " + fixture("aclImdb.tar.gz").string()});
  const std::string cuda = "--device cuda";
  std::vector<std::string> engines = {cuda, cuda + " --precision mixed", cuda + " --no-graph"};
  for (const std::string algorithm : {"", "-persist-small-h"}) {
    engines.push_back(cuda + " --recurrence cudnn" + algorithm);
    for (const std::string cell : {"--cell gru", "--cell lstm"}) {
      for (const std::string bptt : {"--bptt 2", "--bptt 12"}) {
        matrix.refusals.push_back(
            {{engines.back(), cell, bptt}, 1, "--bptt: not with --recurrence cudnn of " + cell + ", whose gradients"});
      }
    }
  }
  matrix.flags.insert(matrix.flags.begin(), engines);
  expect_matrix(matrix);
}

}  // namespace
}  // namespace reel
