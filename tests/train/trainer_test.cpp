// The training loop on the generated reviews, small.
#include "host/train/trainer.h"

#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>

#include "host/model/checkpoint.h"
#include "kernels/make_backend.h"
#include "tests/kernels/devices.h"
#include "tests/support/support.h"

namespace reel {
namespace {

using Json = nlohmann::json;

TrainConfig small_config() {
  TrainConfig config;
  config.preprocessing.maxlen = 30;
  config.model = {.embedding = 8, .hidden = 8};
  config.epochs = 2;
  config.batch_size = 16;
  config.log_every = 3;
  return config;
}

class TrainerTest : public testing::Test {
 protected:
  /// Trains into the folder `name`; `resume` continues it.
  Outcome train(TrainConfig config, const std::string& name, bool resume = false) {
    data_ = std::make_unique<TrainingData>(make_training_data(generate_corpus(100, 40), config));
    config.model.vocabulary = data_->vocabulary.size();
    const RunFolder run = resume ? RunFolder::open(folder_ / name) : RunFolder::create(folder_ / name);
    if (!resume) folder_.write(name + "/config.toml", "");
    Trainer trainer(*backend_, config, *data_, run,
                    {.step =
                         [&](const StepReport&) {
                           if (on_step_) on_step_();
                         },
                     .epoch = [](const std::string&) {},
                     .line = [&](const std::string& line) { said_ += line + '\n'; }});
    if (resume) trainer.resume();
    return trainer.run();
  }

  TrainingState state_of(const std::string& name) {
    return load_training_state(folder_ / name / "last" / "state.safetensors");
  }

  std::vector<Json> metrics_of(const std::string& name) {
    std::istringstream lines(contents(folder_ / name / "metrics.jsonl"));
    std::vector<Json> metrics;
    for (std::string line; std::getline(lines, line);) metrics.push_back(Json::parse(line));
    return metrics;
  }

  void expect_same_weights(const std::string& a, const std::string& b) {
    const TrainingState left = state_of(a), right = state_of(b);
    EXPECT_EQ(left.parameters, right.parameters);
    EXPECT_EQ(left.state1, right.state1);
    EXPECT_EQ(left.state2, right.state2);
    EXPECT_EQ(load_model(folder_ / a / "model.safetensors").parameters,
              load_model(folder_ / b / "model.safetensors").parameters);
  }

  TemporaryFolder folder_;
  std::unique_ptr<Backend<float>> backend_ = make_cpu_backend<float>(2);
  std::unique_ptr<TrainingData> data_;
  std::function<void()> on_step_;
  std::string said_;
};

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

TEST_F(TrainerTest, ResumedIsUninterruptedBitForBit) {
  train(small_config(), "whole");
  for (const std::int64_t step : {4, 7, 11}) {  // within an epoch, at its end, within the next
    const std::string name = "stopped" + std::to_string(step);
    TrainConfig config = small_config();
    config.max_steps = step;
    EXPECT_EQ(train(config, name), Outcome::kFinished);
    const Json summary = Json::parse(contents(folder_ / name / "summary.json"));
    EXPECT_EQ(summary["epoch_seconds"].size(), static_cast<std::size_t>(step + 6) / 7) << "epochs begun";
    EXPECT_EQ(train(small_config(), name, true), Outcome::kFinished);
    expect_same_weights("whole", name);
    EXPECT_EQ(metrics_of(name).back()["loss"], metrics_of("whole").back()["loss"]);
  }
}

/// Metrics but for what tells time.
std::vector<Json> without_times(std::vector<Json> metrics) {
  for (Json& line : metrics) {
    line.erase("seconds");
    line.erase("tokens_per_second");
  }
  return metrics;
}

/// Ends at a report, as a process that is killed would; checkpoints fall within windows of three steps and on their
/// ends.
TEST_F(TrainerTest, ARunThatDiesGoesOnFromItsLastCheckpoint) {
  train(small_config(), "whole");
  for (const std::int64_t steps : {1, 2, 3, 4, 5}) {
    for (int reports = 1; reports <= 6; ++reports) {
      SCOPED_TRACE(fmt::format("a checkpoint every {} steps, ended by report {}", steps, reports));
      TrainConfig config = small_config();
      config.checkpoint_every = {.steps = steps};
      int seen = 0;
      on_step_ = [&] {
        if (++seen == reports) throw std::runtime_error("killed");
      };
      std::filesystem::remove_all(folder_ / "run");
      EXPECT_THROW(train(config, "run"), std::runtime_error);
      on_step_ = {};
      EXPECT_EQ(train(config, "run", true), Outcome::kFinished);
      expect_same_weights("whole", "run");
      EXPECT_EQ(without_times(metrics_of("run")), without_times(metrics_of("whole")));
    }
  }
}

TEST_F(TrainerTest, CheckpointsComeByTheClockToo) {
  TrainConfig config = small_config();
  config.checkpoint_every = {.minutes = 1e-9};
  on_step_ = [] { throw std::runtime_error("killed"); };
  EXPECT_THROW(train(config, "run"), std::runtime_error);
  EXPECT_GT(Json::parse(state_of("run").values.at("cursor"))["step"], 0);
  config.checkpoint_every = {.minutes = 60};
  EXPECT_THROW(train(config, "none"), std::runtime_error);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none" / "last" / "state.safetensors"));
}

TEST_F(TrainerTest, AShorterLogEveryResumesToo) {
  TrainConfig config = small_config();
  config.log_every = 6;
  train(config, "whole");
  config.checkpoint_every = {.steps = 4};
  on_step_ = [] { throw std::runtime_error("killed"); };
  EXPECT_THROW(train(config, "run"), std::runtime_error);
  on_step_ = {};
  config.log_every = 2;
  EXPECT_EQ(train(config, "run", true), Outcome::kFinished);
  expect_same_weights("whole", "run");
  EXPECT_EQ(metrics_of("run")[0]["step"], 4);
}

TEST_F(TrainerTest, ASignalSavesAndResumes) {
  train(small_config(), "whole");
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string name = "signal" + std::to_string(signal);
    on_step_ = [&] { std::raise(signal); };
    EXPECT_EQ(train(small_config(), name), Outcome::kInterrupted);
    on_step_ = {};
    EXPECT_LT(Json::parse(state_of(name).values.at("cursor"))["step"], 14);
    EXPECT_EQ(train(small_config(), name, true), Outcome::kFinished);
    expect_same_weights("whole", name);
    EXPECT_EQ(without_times(metrics_of(name)), without_times(metrics_of("whole")));
  }
}

TEST_F(TrainerTest, OptimizersWithOneStateResumeToo) {
  TrainConfig config = small_config();
  config.optimizer = {.kind = OptimizerKind::kSgd, .learning_rate = 0.1, .momentum = 0.9};
  config.validation_split = 0.2;
  train(config, "whole");
  TrainConfig stopped = config;
  stopped.max_steps = 4;
  train(stopped, "stopped");
  train(config, "stopped", true);
  expect_same_weights("whole", "stopped");
}

TEST_F(TrainerTest, ResumeRefusesOtherDataAndOtherModels) {
  TrainConfig config = small_config();
  config.max_steps = 2;
  train(config, "run");
  config.model.hidden = 9;
  expect_error([&] { train(config, "run", true); }, {"state.safetensors: parameters has", "expected"});
  TrainingState state = state_of("run");
  Json cursor = Json::parse(state.values["cursor"]);
  cursor["data_checksum"] = "sha256:other";
  state.values = {{"cursor", cursor.dump()}};
  save_training_state(folder_ / "run" / "last" / "state.safetensors", state);
  expect_error([&] { train(small_config(), "run", true); }, {"trained on data with checksum sha256:other"});
  expect_error([&] { train(small_config(), "none", true); }, {"none: nothing to resume: no ", "config.toml"});
  expect_error([&] { train(small_config(), "run"); }, {"run: holds a run already; --resume"});
}

TEST_F(TrainerTest, DivergenceKeepsTheLastGoodCheckpoint) {
  TrainConfig config = small_config();
  config.model.nonlinearity = Nonlinearity::kRelu;
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
  test::TestDevice emulator = test::cuda_device();
  emulator.timings = true;
  backend_ = emulator.make();
  TrainConfig config = small_config();
  config.profile_steps = 3;
  config.max_steps = Trainer::kStepsBeforeProfile + 5;
  config.epochs = config.max_steps;
  test::take_profiled_ranges();
  train(config, "profiled");
  EXPECT_EQ(std::ranges::count(test::take_profiled_ranges(), "step"), 3);
}

class TrainerDevices : public TrainerTest, public testing::WithParamInterface<test::TestDevice> {};

TEST_P(TrainerDevices, ACheckpointOfOneDeviceResumesOnAnother) {
  REEL_REQUIRE_DEVICE(GetParam());
  train(small_config(), "whole");
  TrainConfig part = small_config();
  part.max_steps = 4;
  auto here = std::move(backend_), there = GetParam().make();
  const auto resumed = [&](const std::string& name, auto& first, auto& second) {
    backend_ = std::move(first);
    EXPECT_EQ(train(part, name), Outcome::kFinished);
    first = std::move(backend_);
    backend_ = std::move(second);
    EXPECT_EQ(train(small_config(), name, true), Outcome::kFinished);
    second = std::move(backend_);
    return metrics_of(name).back()["loss"].get<double>();
  };
  const double expected = metrics_of("whole").back()["loss"];
  EXPECT_NEAR(resumed("there_first", there, here), expected, 10 * GetParam().tolerances.gradient * expected);
  EXPECT_NEAR(resumed("here_first", here, there), expected, 10 * GetParam().tolerances.gradient * expected);
}

INSTANTIATE_TEST_SUITE_P(Devices, TrainerDevices, testing::ValuesIn(test::all_devices()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace reel
