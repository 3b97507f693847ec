// Checkpoints, and training that goes on from them.
#include <unistd.h>

#include <csignal>
#include <thread>

#include "host/files/file.h"
#include "host/files/interrupt.h"
#include "tests/kernels/devices.h"
#include "tests/train/trainer_fixture.h"

namespace reel {
namespace {

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

/// Rows of a large table take their steps when they are read, unless a batch may have half of its words: here --maxlen
/// decides that, beyond any review's length.
TEST_F(TrainerTest, RowsThatLagBehindHaveTheBitsOfEveryStep) {
  least_vocabulary_ = 8192;
  TrainConfig config = small_config();
  config.model.embedding = 128;
  config.word_dropout = 0;  // its random numbers are those of positions in a batch
  config.batch_size = 2;    // 40 steps an epoch, in which rows lag as far as they may
  config.validation_split = 0.2;
  config.checkpoint_every = {.steps = 35};
  const auto train_at = [&](std::int64_t maxlen, const std::string& name, std::int64_t max_steps, bool resume) {
    backend_ = make_cpu_backend<float>(BackendOptions{.threads = 2, .timings = true});
    config.preprocessing.maxlen = maxlen;
    config.max_steps = max_steps;
    EXPECT_EQ(train(config, name, resume), Outcome::kFinished);
    const auto ranges = backend_->timings();
    return std::ranges::find(ranges, "catch_up", &RangeTiming::name) != ranges.end();
  };
  EXPECT_FALSE(train_at(2100, "every step", 0, false));
  EXPECT_TRUE(train_at(100, "when read", 0, false));
  expect_same_weights("when read", "every step");
  EXPECT_EQ(without_times(metrics_of("when read")), without_times(metrics_of("every step")));
  for (const std::int64_t step : {7, 40}) {  // within an epoch, and after one
    const std::string name = "resumed at " + std::to_string(step);
    train_at(100, name, step, false);
    EXPECT_TRUE(train_at(100, name, 0, true));
    expect_same_weights(name, "every step");
  }
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

/// The time that a window took before the checkpoint is part of its line.
TEST_F(TrainerTest, ResumedWindowsKeepTheirTime) {
  TrainConfig config = small_config();
  config.checkpoint_every = {.steps = 4};  // one step into the second window
  int reports = 0;
  on_step_ = [&] {
    if (++reports == 2) throw std::runtime_error("killed");
  };
  EXPECT_THROW(train(config, "run"), std::runtime_error);
  on_step_ = {};
  TrainingState state = state_of("run");
  Json cursor = Json::parse(state.values.at("cursor"));
  EXPECT_GT(cursor["measured_seconds"], 0);
  cursor["measured_seconds"] = 1000;
  state.values["cursor"] = cursor.dump();
  save_training_state(folder_ / "run" / "last" / "state.safetensors", state);
  train(small_config(), "run", true);
  EXPECT_GT(metrics_of("run").at(1)["seconds"], 1000);
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

/// Before any other thread, as main() does; a background job of a shell ignores SIGINT, and then so would Reel.
const bool watched = (std::signal(SIGINT, SIG_DFL), std::signal(SIGTERM, SIG_DFL), watch_interrupts(), true);

/// At every report in turn: between windows, and after an epoch's last step, when it is evaluated.
TEST_F(TrainerTest, ASignalSavesAndResumes) {
  ASSERT_TRUE(watched);
  TrainConfig config = small_config();
  config.validation_split = 0.2;
  train(config, "whole");
  int signal = SIGINT, between_epochs = 0;
  for (const bool each_epoch : {true, false}) {
    config.test_each_epoch = each_epoch;
    const std::string whole = each_epoch ? "whole" : "whole-end";
    if (!each_epoch) train(config, whole);
    for (int last = 1; last <= 4; ++last) {
      const std::string name = fmt::format("signal{}{}", last, each_epoch);
      int reports = 0;
      on_step_ = [&] {
        if (++reports != last) return;
        ::kill(::getpid(), signal);
        while (InterruptGuard::signal() == 0) std::this_thread::yield();
      };
      EXPECT_EQ(train(config, name), Outcome::kInterrupted);
      EXPECT_EQ(InterruptGuard::signal(), signal);
      on_step_ = {};
      const Json cursor = Json::parse(state_of(name).values.at("cursor"));
      if (cursor["step"] ==
          5 * (cursor["epochs_done"].get<int>() + 1)) {  // as if the signal had come between evaluations
        ++between_epochs;
        append_to_file(folder_ / name / "metrics.jsonl",
                       fmt::format("{{\"step\":{},\"split\":\"validation\"}}\n", cursor["step"].get<int>()));
      }
      EXPECT_EQ(train(config, name, true), Outcome::kFinished);
      expect_same_weights(whole, name);
      EXPECT_EQ(without_times(metrics_of(name)), without_times(metrics_of(whole)));
      signal = SIGINT + SIGTERM - signal;
    }
  }
  EXPECT_EQ(between_epochs, 4);
}

/// Of steps that take long: what one has not finished it has not begun.
TEST_F(TrainerTest, AnInterruptedStepIsMadeAgain) {
  TrainConfig config = small_config();
  train(config, "whole");
  std::atomic<int> interrupted = 0;
  int reports = 0;
  on_step_ = [&] { interrupted = ++reports == 2; };
  backend_ = make_backend({.threads = 2, .interrupted = &interrupted});
  EXPECT_EQ(train(config, "run"), Outcome::kInterrupted);
  interrupted = 0;
  on_step_ = {};
  EXPECT_EQ(train(config, "run", true), Outcome::kFinished);
  expect_same_weights("whole", "run");
  EXPECT_EQ(without_times(metrics_of("run")), without_times(metrics_of("whole")));
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
