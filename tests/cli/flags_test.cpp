#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/cli/config_file.h"
#include "host/cli/train_options.h"

namespace reel {
namespace {

TEST(Flags, AreExplained) {
  CLI::App app("", "train");
  TrainOptions options;
  options.add_to(app);
  for (const CLI::Option* flag : app.get_options()) EXPECT_NE(flag->get_description(), "") << flag->get_name();
}

/// What a model is trained with when nobody says anything: a change here is a change of the recipe.
TEST(Flags, HaveTheseDefaults) {
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
recurrence = "reel"
threads = 0
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
TEST(Flags, HaveLimits) {
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

}  // namespace
}  // namespace reel
