// Training on the stand-in: whenever its work runs, wherever it dies, whichever allocation fails.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>
#include <tuple>

#include "host/train/step_plan.h"
#include "host/train/trainer.h"
#include "kernels/make_backend.h"
#include "tests/cuda_runtime/backend_fixture.h"
#include "tests/support/support.h"

namespace reel::runtime {
namespace {

class RuntimeTraining : public RuntimeBackend {
 protected:
  static TrainConfig small_config() {
    TrainConfig config;
    config.preprocessing.maxlen = 12;
    config.model = {.embedding = 4, .hidden = 6};
    config.epochs = 2;
    config.batch_size = 16;
    config.log_every = 2;
    return config;
  }

  RuntimeTraining() { config_.model.vocabulary = data_.vocabulary.size(); }

  /// Trains; the losses of all windows, before each of which `on_report_` is called. With `dies_at`, the process ends
  /// when that many have been reported.
  std::vector<double> train(const BackendOptions& options, std::size_t dies_at = 0, bool resume = false) {
    std::vector<double> losses;
    const auto backend = make_backend(options);
    if (!resume) std::filesystem::remove_all(folder_ / "run");
    const RunFolder run = resume ? RunFolder::open(folder_ / "run") : RunFolder::create(folder_ / "run");
    if (!resume) folder_.write("run/config.toml", "");
    Trainer trainer(*backend, config_, data_, run,
                    {.step =
                         [&](const StepReport& report) {
                           losses.push_back(report.loss);
                           if (on_report_) on_report_(report);
                           if (losses.size() == dies_at) throw std::runtime_error("killed");
                         },
                     .epoch = [](const std::string&) {},
                     .line = [](const std::string&) {}});
    if (resume) trainer.resume();
    EXPECT_EQ(trainer.run(), Outcome::kFinished);
    backend->timings();
    return losses;
  }
  /// Steps, losses and the norms of gradients of metrics.jsonl.
  std::vector<std::tuple<int, double, double>> metrics() {
    std::istringstream lines(contents(folder_ / "run" / "metrics.jsonl"));
    std::vector<std::tuple<int, double, double>> result;
    for (std::string line; std::getline(lines, line);) {
      const nlohmann::json values = nlohmann::json::parse(line);
      const nlohmann::json& norm = values["grad_norm"];  // none of an evaluation
      result.emplace_back(values["step"], values["loss"], norm.is_null() ? 0.0 : norm.get<double>());
    }
    return result;
  }

  TemporaryFolder folder_;
  std::function<void(const StepReport&)> on_report_;
  TrainConfig config_ = small_config();
  TrainingData data_ = make_training_data(generate_corpus(100, 40), config_);
};

/// Against one after the other. Full batches project the whole vocabulary, the last one of an epoch its own words.
TEST_F(RuntimeTraining, IsTheSameWheneverWorkRuns) {
  ASSERT_LE(data_.vocabulary.size(), config_.batch_size * config_.preprocessing.maxlen);
  ASSERT_GT(data_.vocabulary.size(), data_.train.size() % config_.batch_size * config_.preprocessing.maxlen);
  config_.embedding_dropout = 0.1f;  // asks the index which words are left out
  struct Kind {
    Precision precision = Precision::kFloat32;
    std::int64_t layers = 1;
    Clipping clipping{.norm = 1};
  };
  for (const Kind& kind : {Kind{}, {.precision = Precision::kMixed}, {.layers = 2}, {.clipping = {}}}) {
    const Precision precision = kind.precision;
    config_.model.layers = kind.layers;
    config_.clipping = kind.clipping;
    use({});
    const std::vector<double> expected =
        train({.device = DeviceKind::kCuda, .precision = precision, .graphs = false, .timings = true});
    EXPECT_EQ(expected.size(), 8u) << "steps 2, 4, 6 and 7, twice";
    const auto expected_metrics = metrics();
    for (std::uint64_t i = 0; i < (deep() ? 100u : 4u); ++i) {
      const std::uint64_t seed = i == 0 ? 0 : test_seed() * 1000 + i;  // 0: work runs when it must
      for (const bool graphs : {true, false}) {
        use({.seed = seed});
        const BackendOptions options{.device = DeviceKind::kCuda, .precision = precision, .graphs = graphs};
        EXPECT_EQ(train(options), expected) << "seed " << seed << " graphs " << graphs;
        EXPECT_EQ(metrics(), expected_metrics) << "seed " << seed << " graphs " << graphs;
      }
    }
  }
}

/// Two layers of two directions: their recurrences side by side on two streams, whose order a seed draws, against one
/// after the other.
TEST_F(RuntimeTraining, OfTwoDirectionsSideBySideIsTheSameAsInOrder) {
  struct Kind {
    Cell cell;
    std::int64_t hidden;
    int major;
    Recurrence recurrence = Recurrence::kReel;
  };
  const Kind kinds[] = {{Cell::kLstm, 6, 9},  // one launch
                        {Cell::kGru, 65, 8},  // step by step: needs no clusters
                        {Cell::kTanh, 6, 9, Recurrence::kCudnn}};
  config_.model.layers = 2;
  config_.model.bidirectional = true;
  config_.model.pool = Pool::kConcat;
  config_.layer_dropout = 0.2f;
  config_.embedding_dropout = 0.1f;
  config_.max_steps = 3;
  config_.log_every = 1;
  for (const Kind& kind : kinds) {
    config_.model.cell = kind.cell;
    config_.model.hidden = kind.hidden;
    const Options device{.device = {.major = kind.major}};
    use(device);
    const std::vector<double> expected =
        train({.device = DeviceKind::kCuda, .recurrence = kind.recurrence, .graphs = false, .timings = true});
    for (std::uint64_t i = 0; i < (deep() ? 50u : 1u); ++i) {
      const std::uint64_t seed = test_seed() * 1000 + i;
      for (const bool graphs : {true, false}) {
        use({.device = device.device, .seed = seed});
        const BackendOptions options{.device = DeviceKind::kCuda, .recurrence = kind.recurrence, .graphs = graphs};
        EXPECT_EQ(train(options), expected) << "seed " << seed << " graphs " << graphs << " H " << kind.hidden;
      }
    }
  }
}

/// The first full step runs eagerly, the second is collected, and from then on one launch is a step.
TEST_F(RuntimeTraining, AStepIsOneLaunchOfAGraph) {
  ASSERT_EQ(data_.train.size() % config_.batch_size, 4) << "6 full steps an epoch, and a smaller one";
  config_.epochs = 3;
  take_calls();
  train({.device = DeviceKind::kCuda});
  std::map<std::string, int> calls = take_calls();
  EXPECT_EQ(calls["cudaGraphInstantiate"], 2) << "a full step and a smaller one";
  EXPECT_EQ(calls["cudaStreamBeginCapture"], 2);
  EXPECT_EQ(calls["cudaGraphExecUpdate"], 0);
  EXPECT_EQ(calls["cudaGraphLaunch"], 3 * 7 - 2);

  config_.epochs = 1;
  config_.batch_size = 4;
  on_report_ = [&](const StepReport& report) {
    std::map<std::string, int> since = take_calls();
    if (report.step < 8 || report.step > 20) return;  // of 25
    since.erase("cudaEventQuery");                    // whether the window before has been read
    since.erase("cudaEventSynchronize");
    const std::map<std::string, int> expected = {
        {"cudaGraphLaunch", 2}, {"cudaMemcpyAsync", 1}, {"cudaEventRecord", 1}};  // two steps, and what they measured
    EXPECT_EQ(since, expected) << "before the report of step " << report.step;
  };
  train({.device = DeviceKind::kCuda});
}

TEST_F(RuntimeTraining, ItsGraphIsThatOfThePlan) {
  config_.batch_size = 20;
  ASSERT_EQ(data_.train.size() % config_.batch_size, 0) << "the last graph is of a full step";
  config_.word_dropout = config_.embedding_dropout = config_.dropout = config_.layer_dropout = 0.1f;
  for (const std::int64_t layers : {1, 2}) {
    config_.model.layers = layers;
    train({.device = DeviceKind::kCuda});
    const auto backend = make_backend({.device = DeviceKind::kCuda});
    expect_launched(plan_step(*backend, config_));
  }
}

/// Steps that only a graph's launch begins, over the end of an epoch, from the middle of one, with all that differs
/// from step to step.
TEST_F(RuntimeTraining, AGraphLaunchedAgainIsTheNextStep) {
  config_.model.vocabulary = 1024;  // whose rows are updated when they are read
  config_.model.embedding = 1024;
  config_.model.layers = 2;
  config_.preprocessing.maxlen = 5;
  config_.batch_size = 15;
  config_.word_dropout = config_.embedding_dropout = 0.1f;
  config_.dropout = config_.layer_dropout = 0.2f;
  config_.warmup = 0.3;
  config_.clipping.norm = 0.5;
  config_.epochs = 3;
  config_.max_steps = 16;
  config_.log_every = 2;
  data_ = make_training_data(generate_corpus(100, 40), config_);
  for (const std::int64_t embedding : {1024, 8}) {
    config_.model.embedding = embedding;
    const auto state = [&] { return load_training_state(folder_ / "run" / "last" / "state.safetensors"); };
    train({.device = DeviceKind::kCuda, .graphs = false});
    const TrainingState expected = state();
    const auto measured = metrics();
    train({.device = DeviceKind::kCuda});
    EXPECT_EQ(state().parameters, expected.parameters);
    EXPECT_EQ(state().state1, expected.state1);
    EXPECT_EQ(state().state2, expected.state2);
    EXPECT_EQ(metrics(), measured);

    config_.checkpoint_every = {.steps = 3};
    EXPECT_THROW(train({.device = DeviceKind::kCuda}, 6), std::runtime_error);
    train({.device = DeviceKind::kCuda}, 0, true);
    EXPECT_EQ(state().parameters, expected.parameters);
    EXPECT_EQ(metrics(), measured);
    config_.checkpoint_every = {};
  }
}

TEST_F(RuntimeTraining, TwoDirectionsAreTwoBranchesOfTheGraph) {
  const auto both_are = [](std::string_view name) {
    return testing::Contains(
        testing::Pair(testing::HasSubstr(std::string(name)), testing::HasSubstr(std::string(name))));
  };
  for (const bool bidirectional : {false, true}) {
    config_.model.bidirectional = bidirectional;
    train({.device = DeviceKind::kCuda});
    for (const char* const kernel : {"gather_rows", "rnn_forward", "rnn_backward"}) {
      EXPECT_EQ(testing::Matches(both_are(kernel))(concurrent_nodes()), bidirectional) << kernel;
    }
  }
  EXPECT_THAT(concurrent_nodes(), both_are("cublasSgemm"));
  for (const char* const kernel : {"sum_chunks", "head"}) {
    EXPECT_THAT(concurrent_nodes(), testing::Not(both_are(kernel))) << "into the same memory";
  }
}

/// A checkpoint falls into a window while the one before is still read back; what it says is in metrics.jsonl once.
TEST_F(RuntimeTraining, ThatDiesGoesOnFromItsCheckpoint) {
  for (const auto& [graphs, bidirectional] : {std::pair{true, false}, {false, false}, {true, true}}) {
    const BackendOptions options{.device = DeviceKind::kCuda, .graphs = graphs};
    config_.model.bidirectional = bidirectional;
    config_.checkpoint_every = {};
    train(options);
    const auto expected = metrics();
    for (const std::int64_t steps : {1, 3, 5}) {
      for (const std::size_t reports : {1U, 3U, 6U}) {
        SCOPED_TRACE(fmt::format("graphs {} bidirectional {} checkpoint every {} steps, ended by report {}", graphs,
                                 bidirectional, steps, reports));
        config_.checkpoint_every = {.steps = steps};
        EXPECT_THROW(train(options, reports), std::runtime_error);
        train(options, 0, true);
        EXPECT_EQ(metrics(), expected);
      }
    }
  }
}

/// Each allocation in turn fails once, up to a run in which all succeed: one clear line, and nothing is left alive.
TEST_F(RuntimeTraining, AnyAllocationMayFail) {
  const BackendOptions cudnn{.device = DeviceKind::kCuda, .recurrence = Recurrence::kCudnn};
  const std::pair<BackendOptions, Cell> kinds[] = {
      {{.device = DeviceKind::kCuda}, Cell::kTanh},
      {{.device = DeviceKind::kCuda, .precision = Precision::kMixed, .graphs = false}, Cell::kTanh},
      {{.device = DeviceKind::kCuda, .graphs = false, .timings = true}, Cell::kTanh},
      {cudnn, Cell::kTanh},
      {cudnn, Cell::kLstm}};
  for (const auto& [options, cell] : kinds) {
    config_.model.cell = cell;
    config_.model.bidirectional = options.recurrence == Recurrence::kCudnn;  // what it has twice
    // The kinds have most allocations in common, and two events for each range are many, all alike.
    const std::int64_t stride = deep() || &options == &kinds[0].first ? 1 : 3;
    std::int64_t n = 1 + static_cast<std::int64_t>(test_seed() % static_cast<std::uint64_t>(stride));
    for (;; n += options.timings && n > 60 && !deep() ? 29 : stride) {
      SCOPED_TRACE(n);
      use({});
      fail_allocation(n);
      std::string message;
      try {
        train(options);
      } catch (const Error& error) {
        message = error.what();
      }
      EXPECT_THAT(alive(), testing::IsEmpty());
      EXPECT_EQ(cudaGetLastError(), cudaSuccess);
      if (!allocation_failed()) break;
      EXPECT_THAT(message, testing::MatchesRegex("(CUDA|--recurrence cudnn): [^\n]+"));
    }
    fail_allocation(0);
    EXPECT_GT(n, 40) << "allocations of a run";
  }
}

}  // namespace
}  // namespace reel::runtime
