// The training loop.
#include "tests/kernels/devices.h"
#include "tests/train/trainer_fixture.h"

namespace reel {
namespace {

TEST_F(TrainerTest, WritesEveryFileOfARun) {
  EXPECT_EQ(train(small_config(), "run"), Outcome::kFinished);
  const Json summary = Json::parse(contents(folder_ / "run" / "summary.json"));
  for (const char* key : {"test_accuracy", "test_loss", "train_seconds", "epoch_seconds", "peak_rss_bytes", "device",
                          "threads", "parameters", "version"}) {
    EXPECT_TRUE(summary.contains(key)) << key;
  }
  EXPECT_EQ(summary["steps"], 14) << "7 steps an epoch, the last one of 4 reviews";
  EXPECT_EQ(summary["epoch_seconds"].size(), 2u);
  const std::vector<Json> metrics = metrics_of("run");
  ASSERT_EQ(metrics.size(), 8u) << "steps 3, 6, 7 and the test, twice";
  for (const char* key :
       {"step", "epoch", "split", "loss", "accuracy", "grad_norm", "lr", "seconds", "tokens_per_second"}) {
    for (const Json& line : metrics) EXPECT_TRUE(line.contains(key)) << key;
  }
  EXPECT_EQ(metrics[3]["split"], "test");
  EXPECT_EQ(metrics[3]["step"], 7);
  EXPECT_EQ(metrics[4]["epoch"], 2);
  EXPECT_EQ(metrics.back()["accuracy"], summary["test_accuracy"]);
}

TEST_F(TrainerTest, TheSameSeedGivesTheSameBits) {
  train(small_config(), "a");
  train(small_config(), "b");
  expect_same_weights("a", "b");
  TrainConfig other = small_config();
  other.seed = 2;
  train(other, "c");
  EXPECT_NE(state_of("a").parameters, state_of("c").parameters);
}

TEST_F(TrainerTest, DivergenceKeepsTheLastGoodCheckpoint) {
  TrainConfig config = small_config();
  config.model.cell = Cell::kRelu;
  config.optimizer = {.kind = OptimizerKind::kSgd, .learning_rate = 0.01};
  config.max_steps = 7;
  train(config, "run");
  const std::string before = contents(folder_ / "run" / "last" / "state.safetensors");
  config.max_steps = 0;
  config.clipping = {};
  config.optimizer.learning_rate = 1e30;
  EXPECT_EQ(train(config, "run", true), Outcome::kDiverged);
  EXPECT_THAT(said_, testing::HasSubstr("training stopped"));
  EXPECT_EQ(contents(folder_ / "run" / "last" / "state.safetensors"), before);
}

TEST_F(TrainerTest, EarlyStoppingKeepsTheBestByValidation) {
  TrainConfig config = small_config();
  config.validation_split = 0.3;
  config.early_stopping = 2;
  config.epochs = 30;
  config.optimizer.learning_rate = 0;  // nothing ever gets better
  EXPECT_EQ(train(config, "run"), Outcome::kFinished);
  const Json summary = Json::parse(contents(folder_ / "run" / "summary.json"));
  EXPECT_EQ(summary["best_epoch"], 1);
  EXPECT_EQ(summary["epoch_seconds"].size(), 3u);
}

TEST_F(TrainerTest, TheModelIsThatOfTheBestEpoch) {
  TrainConfig config = small_config();
  config.validation_split = 0.3;
  config.optimizer.learning_rate = 1e-7;  // weights change, the accuracy does not
  TrainConfig first = config;
  first.max_steps = 5;  // 70 reviews, 16 a step: the first epoch
  train(first, "first");
  train(config, "whole");
  const std::vector<float> best = load_model(folder_ / "whole" / "model.safetensors").parameters;
  EXPECT_EQ(Json::parse(contents(folder_ / "whole" / "summary.json"))["best_epoch"], 1);
  EXPECT_EQ(best, state_of("first").parameters);
  EXPECT_NE(best, state_of("whole").parameters);
}

TEST_F(TrainerTest, DropoutIsDrawnAnewInEveryStep) {
  TrainConfig config = small_config();
  config.optimizer.learning_rate = 0;
  config.shuffle = false;
  config.log_every = 1;
  const auto loss = [&](const std::string& name, std::size_t epoch) {  // of its first step
    return metrics_of(name)[epoch * 8].at("loss").get<double>();       // 7 steps and a test an epoch
  };
  for (const float rate : {0.0f, 0.3f}) {
    config.dropout = 0;
    config.word_dropout = rate;
    const std::string words = fmt::format("words{}", rate), states = fmt::format("states{}", rate);
    train(config, words);
    config.dropout = rate;
    config.word_dropout = 0;
    train(config, states);
    for (const std::string& name : {words, states}) {
      EXPECT_EQ(loss(name, 0) == loss(name, 1), rate == 0) << name;
    }
  }
}

TEST_F(TrainerTest, StartsFromGivenWeights) {
  train(small_config(), "first");
  TrainConfig config = small_config();
  config.init_from = folder_ / "first" / "model.safetensors";
  config.optimizer.learning_rate = 0;
  train(config, "second");
  EXPECT_EQ(load_model(folder_ / "second" / "model.safetensors").parameters,
            load_model(folder_ / "first" / "model.safetensors").parameters);
}

TEST_F(TrainerTest, AProfileOnTheEmulatorIsOfTheStepsThatWereAskedFor) {
  if (!test::kEmulated) GTEST_SKIP() << "only the emulator tells which ranges a profiler saw";
  TrainConfig config = small_config();
  config.profile_steps = 3;
  config.max_steps = Trainer::kStepsBeforeProfile + 5;
  config.epochs = config.max_steps;
  for (const bool graphs : {false, true}) {
    test::TestDevice emulator = test::cuda_device();
    emulator.timings = !graphs;
    backend_ = emulator.make();
    ASSERT_EQ(backend_->has_graphs(), graphs);
    test::take_profiled_ranges();
    train(config, graphs ? "graphs" : "eager");
    EXPECT_EQ(std::ranges::count(test::take_profiled_ranges(), "step"), 3) << "graphs " << graphs;
  }
}

}  // namespace
}  // namespace reel
