// Rows of the embedding that are updated when they are read, and steps that a clock in backend memory names: nothing
// that can be read of a model in training differs from one whose rows take every step and whose steps are given by the
// host, whatever happens between steps.
#include <algorithm>
#include <memory>
#include <random>

#include "host/model/model.h"
#include "host/model/optimizer.h"
#include "host/predict/inference.h"
#include "tests/kernels/devices.h"
#include "tests/support/support.h"

namespace reel {
namespace {

using test::TestDevice;

constexpr std::int64_t kBatch = 4, kSteps = 5, kReviews = 40, kTrainSteps = 90;

/// Words of a few reviews come often, others hardly ever.
Dataset make_reviews(std::int64_t vocabulary, std::mt19937_64& random) {
  Dataset data{.steps = kSteps};
  const auto below = [&](std::int64_t end) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(end));
  };
  for (std::int64_t i = 0; i < kReviews; ++i) {
    data.lengths.push_back(static_cast<std::int32_t>(below(kSteps + 1)));
    data.labels.push_back(static_cast<std::int32_t>(below(2)));
    for (std::int64_t t = 0; t < kSteps; ++t) {
      data.ids.push_back(static_cast<std::int32_t>(below(below(4) == 0 ? vocabulary : vocabulary / 8)));
    }
  }
  return data;
}

/// Who says which step it is, and with what learning rate.
enum class Steps { kOfTheHost, kOfAClock };

/// A training of random steps, with everything that is read of it.
class ScriptedRun {
 public:
  ScriptedRun(Backend<float>& backend, const ModelConfig& config, const OptimizerSettings& settings, RowUpdates updates,
              Steps steps, std::uint64_t seed)
      : backend_(backend), config_(config), settings_(settings), updates_(updates), steps_(steps), random_(seed) {
    data_ = to_device(backend, make_reviews(config.vocabulary, random_));
    stats_ = backend.allocate<BatchStats>(kSlots);
    rows_ = backend.allocate<std::int32_t>(kPlaces * kBatch);
    clock_ = backend.allocate<StepClock>(2);
    std::vector<float> weights(static_cast<std::size_t>(parameter_count(config)));
    initialise<float>(config, {.seed = seed}, weights);
    make_model();
    backend.upload(std::span<const float>(weights), model_->parameters());
    for (std::int64_t step = 0; step < kTrainSteps; ++step) {
      train_step(step);
      switch (random_() % 16) {
        case 0:
          evaluate();
          break;
        case 1:
          read(std::as_const(*model_).parameters());
          break;
        case 2:
          resume(step + 1);
          break;
        case 3:
          evaluate();
          resume(step + 1);
          break;
      }
    }
    if (random_() % 2 == 0) read(optimizer_->state2());
    read(optimizer_->state1());
    optimizer_.reset();  // leaves no row behind
    read(model_->parameters());
  }

  std::vector<float> all_read() && { return std::move(read_); }

 private:
  static constexpr std::int64_t kPlaces = 3, kSlots = 2, kStepsAhead = 7;  // batches in the order, slots of the clock

  static double rate(std::int64_t step) {
    return step < 10 ? 1e-3 * static_cast<double>(step) : 1e-2 / (1 + 0.05 * static_cast<double>(step));
  }
  void make_model() {
    optimizer_.reset();
    model_ = std::make_unique<Model<float>>(backend_, config_, kBatch, kSteps);
    optimizer_ = std::make_unique<Optimizer<float>>(*model_, settings_, updates_);
    if (steps_ == Steps::kOfAClock) optimizer_->follow(clock_.data(), rate, kStepsAhead);
  }
  /// Rows are at `place` of the order, where the clock is, if there is one.
  void select(std::int64_t step, std::size_t place, const StepClock* clock) {
    std::vector<std::int32_t> rows(kBatch);
    for (std::int32_t& row : rows) row = static_cast<std::int32_t>(random_() % kReviews);
    const std::span<std::int32_t> placed = rows_.span(place * kBatch, kBatch);
    backend_.upload(std::span<const std::int32_t>(rows), placed);
    model_->select(data_, clock != nullptr ? rows_.span() : placed,
                   {.clock = clock,
                    .rows = kBatch,
                    .word_dropout = 0.1f,
                    .dropout = 0.3f,
                    .embedding_dropout = 0.2f,
                    .layer_dropout = 0.1f,
                    .step = static_cast<std::uint64_t>(clock == nullptr ? step : 12345)});
  }
  void train_step(std::int64_t step) {
    const bool clocked = steps_ == Steps::kOfAClock;
    const std::int64_t place = step % kPlaces, slot = clocked ? step % kSlots : 0;
    if (clocked) {
      if (!optimizer_->has_rates()) optimizer_->put_rates();
      const StepClock next{.step = step, .row = place * kBatch, .slot = slot};
      if (place == 0) backend_.upload(std::span(&next, 1), clock_.span(1, 1));
      backend_.run(BeginStep{.clock = clock_.span(), .rows = kBatch, .slots = kSlots});
    }
    select(step, static_cast<std::size_t>(place), clocked ? clock_.data() : nullptr);
    model_->forward();
    read(model_->logits());
    const std::span<BatchStats> stats = clocked ? stats_.span() : stats_.span(0, 1);
    model_->backward(stats);
    const Clipping clipping{.norm = random_() % 2 == 0 ? 0.05 : 0, .value = random_() % 2 == 0 ? 0.01 : 0};
    if (clocked) {
      optimizer_->step(clipping, stats);
      optimizer_->count_step();
    } else {
      optimizer_->step(rate(step), clipping, stats);
    }
    BatchStats measured;
    backend_.download(std::span<const BatchStats>(stats_.span(static_cast<std::size_t>(slot), 1)),
                      std::span(&measured, 1));
    for (const double value : {measured.loss_sum, measured.correct, measured.grad_norm}) {
      read_.push_back(static_cast<float>(value));
    }
  }
  /// Some batches: in a large vocabulary each with its words, in a small one of the projected vocabulary.
  void evaluate() {
    Inference<float> inference(*model_);
    for (int batch = 0; batch < 6; ++batch) {
      select(0, 0, nullptr);
      inference.run();
      read(model_->logits());
    }
  }
  void resume(std::int64_t steps) {
    const auto copy = [&](std::span<const float> values) {
      std::vector<float> copied(values.size());
      backend_.download(values, std::span(copied));
      return copied;
    };
    const std::vector<float> parameters = copy(model_->parameters()), state1 = copy(optimizer_->state1()),
                             state2 = copy(optimizer_->state2());
    make_model();
    backend_.upload(std::span<const float>(parameters), model_->parameters());
    backend_.upload(std::span<const float>(state1), optimizer_->state1());
    backend_.upload(std::span<const float>(state2), optimizer_->state2());
    optimizer_->set_steps_taken(steps);
  }
  void read(std::span<const float> values) {
    const std::size_t begin = read_.size();
    read_.resize(begin + values.size());
    backend_.download(values, std::span(read_).subspan(begin));
  }

  Backend<float>& backend_;
  ModelConfig config_;
  OptimizerSettings settings_;
  RowUpdates updates_;
  Steps steps_;
  std::mt19937_64 random_;
  DeviceDataset data_;
  Buffer<BatchStats> stats_;
  Buffer<std::int32_t> rows_;
  Buffer<StepClock> clock_;
  std::unique_ptr<Model<float>> model_;
  std::unique_ptr<Optimizer<float>> optimizer_;
  std::vector<float> read_;
};

class RowUpdatesTest : public testing::TestWithParam<std::tuple<TestDevice, OptimizerKind, Convention>> {};

TEST_P(RowUpdatesTest, WhenReadAndOfAClockIsEveryStepBitForBit) {
  const auto& [device, kind, convention] = GetParam();
  REEL_REQUIRE_DEVICE(device);
  const auto backend = device.make();
  const std::uint64_t seeds = device.kind == DeviceKind::kCpu ? 6 : 1;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    OptimizerSettings settings = default_settings(kind, convention);
    if (seed % 3 == 0) settings.weight_decay = 0.1;
    if (seed % 2 == 0) settings.momentum = 0.9;
    // Below and above the positions of a batch: an index may list the whole vocabulary.
    ModelConfig config{.vocabulary = seed % 3 == 2 ? 16 : 150, .embedding = 18, .hidden = 5, .pool = Pool::kMean};
    config.bidirectional = seed % 2 == 0;
    config.layers = seed % 2 == 1 && kind == OptimizerKind::kAdam ? 2 : 1;
    const auto all_read = [&](RowUpdates updates, Steps steps) {
      return ScriptedRun(*backend, config, settings, updates, steps, seed).all_read();
    };
    const std::vector<float> expected = all_read(RowUpdates::kEveryStep, Steps::kOfTheHost);
    EXPECT_EQ(all_read(RowUpdates::kWhenRead, Steps::kOfTheHost), expected);
    EXPECT_EQ(all_read(RowUpdates::kEveryStep, Steps::kOfAClock), expected);
    EXPECT_EQ(all_read(RowUpdates::kWhenRead, Steps::kOfAClock), expected);
  }
}

/// The steps that rows lack are of one optimizer alone.
TEST(RowUpdates, AModelHasOneOptimizer) {
  const auto backend = make_cpu_backend<float>(1);
  Model<float> model(*backend, {.vocabulary = 20, .embedding = 3, .hidden = 2}, 2, 3);
  auto first = std::make_unique<Optimizer<float>>(model, OptimizerSettings{}, RowUpdates::kWhenRead);
  EXPECT_THROW(Optimizer<float>(model, {}, RowUpdates::kWhenRead), ContractError);
  EXPECT_THROW(Optimizer<float>(model, {}, RowUpdates::kWhenRead), ContractError);  // the first one is still there
  first.reset();
  EXPECT_NO_THROW(Optimizer<float>(model, {}, RowUpdates::kWhenRead));
}

/// One device with Reel's kernels of each kind.
std::vector<TestDevice> devices() { return {{.name = "Cpu"}, test::cuda_device()}; }

INSTANTIATE_TEST_SUITE_P(Rules, RowUpdatesTest,
                         testing::Combine(testing::ValuesIn(devices()),
                                          testing::Values(OptimizerKind::kAdam, OptimizerKind::kAdamW,
                                                          OptimizerKind::kSgd, OptimizerKind::kRmsprop,
                                                          OptimizerKind::kAdagrad),
                                          testing::Values(Convention::kKeras, Convention::kTorch)));

}  // namespace
}  // namespace reel
