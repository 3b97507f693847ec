// Properties of the whole model; its numbers are proven in golden_test.cpp and tests/kernels/gradient_test.cpp.
#include "host/model/model.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "host/model/optimizer.h"
#include "kernels/make_backend.h"
#include "kernels/philox.h"
#include "tests/support/support.h"

namespace reel {
namespace {

constexpr ModelConfig kConfig{.vocabulary = 50, .embedding = 12, .hidden = 20};
constexpr ModelConfig kTall{.vocabulary = 50,
                            .embedding = 12,
                            .hidden = 20,
                            .cell = Cell::kLstm,
                            .layers = 2,
                            .bidirectional = true,
                            .pool = Pool::kConcat};
constexpr std::int64_t kReviews = 23;

/// Random reviews of 0 to 9 words in rows of `steps`.
Dataset make_reviews(std::int64_t steps) {
  const RandomKey key{.seed = 5, .stream = RandomStream::kGeneratedReviews};
  Dataset data{.steps = steps};
  for (std::int64_t i = 0; i < kReviews; ++i) {
    const auto length = static_cast<std::int32_t>(i % 10);
    for (std::int64_t t = 0; t < steps; ++t) {
      const auto position = static_cast<std::uint64_t>(i * 10 + t);
      data.ids.push_back(t < length ? static_cast<std::int32_t>(random_bits(key, position) % 50) : 0);
    }
    data.lengths.push_back(length);
    data.labels.push_back(static_cast<std::int32_t>(i % 2));
  }
  return data;
}

struct StepResult {
  std::vector<float> logits, parameters;
  bool operator==(const StepResult&) const = default;
};

StepResult train_step(int threads, std::int64_t steps, const BatchOptions& options,
                      const ModelConfig& config = kConfig) {
  const auto backend = make_cpu_backend<float>(threads);
  Model<float> model(*backend, config, kReviews, steps);
  initialise<float>(config, {.seed = 3}, model.parameters());
  Optimizer<float> optimizer(model, {});
  const DeviceDataset data = to_device(*backend, make_reviews(steps));
  std::vector<std::int32_t> rows(kReviews);
  std::iota(rows.begin(), rows.end(), 0);
  std::vector<BatchStats> stats(1);
  StepResult result;
  for (int step = 0; step < 3; ++step) {
    model.select(data, rows, options);
    model.forward();
    model.backward(stats);
    optimizer.step(0.01, {.norm = 0.1}, stats);
  }
  result.logits.assign(model.logits().begin(), model.logits().end());
  result.parameters.assign(model.parameters().begin(), model.parameters().end());
  return result;
}

TEST(Model, ExtraPaddingChangesNothingWhenMasked) {
  EXPECT_EQ(train_step(1, 9, {}), train_step(1, 31, {}));
  EXPECT_EQ(train_step(1, 9, {}, kTall), train_step(1, 31, {}, kTall));
}

TEST(Model, ExtraPaddingMattersWhenUnmasked) {
  EXPECT_NE(train_step(1, 9, {.padding = Padding::kPost}), train_step(1, 31, {.padding = Padding::kPost}));
}

TEST(Model, AnyNumberOfThreadsGivesTheSameBits) {
  const BatchOptions options{.word_dropout = 0.3f, .dropout = 0.5f, .seed = 7};
  const StepResult one = train_step(1, 9, options);
  for (const int threads : {2, 3, 5}) EXPECT_EQ(train_step(threads, 9, options), one) << threads << " threads";
  const BatchOptions dropping{.dropout = 0.5f, .layer_dropout = 0.3f, .seed = 7};
  const StepResult tall = train_step(1, 9, dropping, kTall);
  for (const int threads : {2, 3, 5}) EXPECT_EQ(train_step(threads, 9, dropping, kTall), tall) << threads << " threads";
}

/// Of a width at which a direction takes longer than a thread needs to wake up for the other one.
TEST(Model, DirectionsSideBySideGiveTheSameBitsAsInOrder) {
  for (const Cell cell : {Cell::kTanh, Cell::kGru, Cell::kLstm}) {
    ModelConfig config = kTall;
    config.cell = cell;
    config.hidden = 150;
    const StepResult in_order = train_step(1, 9, {.layer_dropout = 0.3f, .seed = 7}, config);
    for (const int threads : {2, 4}) {
      EXPECT_EQ(train_step(threads, 9, {.layer_dropout = 0.3f, .seed = 7}, config), in_order) << threads << " threads";
    }
  }
}

/// Finite differences through what has no golden values: the dropout of words and between layers.
TEST(Model, GradientsGoThroughDropout) {
  constexpr double kStep = 1e-5, kTolerance = 2e-8;  // central differences are exact to kStep^2
  const auto backend = make_cpu_backend<double>(1);
  const DeviceDataset data = to_device(*backend, make_reviews(9));
  std::vector<std::int32_t> rows(kReviews);
  std::iota(rows.begin(), rows.end(), 0);
  for (const bool variational : {false, true}) {
    for (const bool bidirectional : {false, true}) {
      ModelConfig config = kTall;
      config.hidden = 5;
      config.pool = Pool::kMean;  // a maximum has no derivative where another step takes it over
      config.bidirectional = bidirectional;
      Model<double> model(*backend, config, kReviews, 9);
      initialise<double>(config, {.seed = 3}, model.parameters());
      std::vector<BatchStats> stats(1);
      const auto loss = [&] {
        model.select(
            data, rows,
            {.embedding_dropout = 0.3f, .layer_dropout = 0.4f, .variational = variational, .seed = 2, .step = 7});
        model.forward();
        model.backward(stats);
        return stats[0].loss_sum / static_cast<double>(kReviews);
      };
      loss();
      const std::vector<double> dense(model.gradient().dense.begin(), model.gradient().dense.end());
      const std::span<double> parameters = model.parameters().last(dense.size());
      const auto check = [&](double& parameter, double gradient) {
        const double value = parameter;
        parameter = value + kStep;
        const double above = loss();
        parameter = value - kStep;
        const double below = loss();
        parameter = value;
        EXPECT_NEAR(gradient, (above - below) / (2 * kStep), kTolerance);
      };
      for (std::size_t i = 0; i < dense.size(); i += 7) check(parameters[i], dense[i]);
      const auto E = static_cast<std::size_t>(config.embedding);
      const std::vector<std::int32_t> slots(model.gradient().index.slot.begin(), model.gradient().index.slot.end());
      const std::vector<double> d_rows(model.gradient().rows.begin(), model.gradient().rows.end());
      for (std::size_t token = 0; token < slots.size(); token += 3) {
        if (slots[token] < 0) continue;
        check(model.parameters()[token * E + 1], d_rows[static_cast<std::size_t>(slots[token]) * E + 1]);
      }
    }
  }
}

class ModelLogits : public testing::Test {
 protected:
  ModelLogits() {
    initialise<float>(kConfig, {.seed = 3}, model_.parameters());
    std::iota(rows_.begin(), rows_.end(), 0);
  }

  std::vector<float> logits_of(std::span<const std::int32_t> rows) {
    model_.select(data_, rows, {});
    model_.forward();
    return {model_.logits().begin(), model_.logits().end()};
  }

  std::unique_ptr<Backend<float>> backend_ = make_cpu_backend<float>(2);
  Model<float> model_{*backend_, kConfig, kReviews, 9};
  DeviceDataset data_ = to_device(*backend_, make_reviews(9));
  std::vector<std::int32_t> rows_ = std::vector<std::int32_t>(kReviews);
};

TEST_F(ModelLogits, DoNotDependOnTheBatch) {
  const std::vector<float> together = logits_of(rows_);
  const std::vector<std::int32_t> reversed(rows_.rbegin(), rows_.rend());
  std::vector<float> backwards = logits_of(reversed);
  std::ranges::reverse(backwards);
  EXPECT_EQ(backwards, together);
  for (std::size_t i = 0; i < together.size(); ++i) {
    EXPECT_EQ(logits_of(std::span(rows_).subspan(i, 1)).front(), together[i]) << "review " << i;
  }
}

TEST_F(ModelLogits, OfASmallerBatchLeaveNoTrace) {
  const std::vector<float> before = logits_of(rows_);
  logits_of(std::span(rows_).last(5));
  EXPECT_EQ(logits_of(rows_), before);
}

TEST_F(ModelLogits, OfAVocabularyProjectedAtOnceAreTheSame) {
  for (const auto& [pool, network] : {std::pair{Pool::kLast, kConfig}, {Pool::kMean, kConfig}, {Pool::kLast, kTall}}) {
    ModelConfig config = network;
    config.pool = pool;
    const auto logits = [&](bool at_once) {  // each time of a new model, in whose memory no states lie
      Model<float> model(*backend_, config, kReviews, 9);
      initialise<float>(config, {.seed = 3}, model.parameters());
      model.select(data_, rows_, {});
      at_once ? model.forward(model.project_vocabulary()) : model.forward();
      return std::vector<float>(model.logits().begin(), model.logits().end());
    };
    EXPECT_EQ(logits(true), logits(false));
  }
}

TEST(Model, ABatchThatIsTooLargeIsABug) {
  const auto backend = make_cpu_backend<float>(1);
  Model<float> model(*backend, kConfig, 4, 9);
  const DeviceDataset data = to_device(*backend, make_reviews(9));
  const std::vector<std::int32_t> rows(5, 0);
  EXPECT_THROW(model.select(data, rows, {}), ContractError);
}

}  // namespace
}  // namespace reel
