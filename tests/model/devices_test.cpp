// Training on every device: the same losses as on the CPU, the same bits each time.
#include <algorithm>
#include <array>
#include <numeric>

#include "host/model/model.h"
#include "host/model/optimizer.h"
#include "kernels/philox.h"
#include "tests/kernels/devices.h"
#include "tests/support/support.h"

namespace reel {
namespace {

using test::TestDevice;

constexpr std::int64_t kReviews = 70, kSteps = 17, kBatch = 20, kTrainSteps = 20;

/// Reviews of up to kSteps words; the label is whether the first word is of the upper half.
Dataset make_reviews(std::int64_t vocabulary) {
  const RandomKey key{.seed = 11, .stream = RandomStream::kGeneratedReviews};
  Dataset data{.steps = kSteps};
  for (std::int64_t i = 0; i < kReviews; ++i) {
    const auto random = [&](std::int64_t t) { return random_bits(key, static_cast<std::uint64_t>(i * 100 + t)); };
    const auto length = static_cast<std::int32_t>(i == 7 ? 0 : 1 + random(99) % kSteps);
    for (std::int64_t t = 0; t < kSteps; ++t) {
      data.ids.push_back(t < length ? static_cast<std::int32_t>(random(t) % vocabulary) : 0);
    }
    data.lengths.push_back(length);
    data.labels.push_back(data.ids[static_cast<std::size_t>(i * kSteps)] * 2 >= vocabulary ? 1 : 0);
  }
  return data;
}

struct Training {
  std::vector<double> losses, norms;
  std::vector<float> parameters;
  bool operator==(const Training&) const = default;
};

struct Case {
  const char* name;
  ModelConfig model;
  OptimizerKind optimizer = OptimizerKind::kAdam;
  Padding padding = Padding::kNone;
  double learning_rate = 0.01;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

void initialise(Backend<float>& backend, const ModelConfig& config, Model<float>& model) {
  std::vector<float> weights(static_cast<std::size_t>(parameter_count(config)));
  reel::initialise<float>(config, {.seed = 3}, weights);
  backend.upload(std::span<const float>(weights), model.parameters());
}

/// All reviews, the last first.
Buffer<std::int32_t> reviews_backwards(Backend<float>& backend) {
  std::vector<std::int32_t> order(kReviews);
  std::iota(order.rbegin(), order.rend(), 0);
  auto rows = backend.allocate<std::int32_t>(kReviews);
  backend.upload(std::span<const std::int32_t>(order), rows.span());
  return rows;
}

/// How far gradients go back in a case; to the beginning on a device that has no other way.
std::int64_t bptt_of(const TestDevice& device, const ModelConfig& model) {
  const bool truncated = model.layers > 1 || model.pool == Pool::kMean;
  return truncated && !device.make()->projects_input(model.cell) ? 6 : 0;
}

/// Twenty steps over batches of 20, the last of each round smaller, with both dropouts and clipping.
Training train(const TestDevice& device, const Case& c, std::int64_t bptt) {
  const ModelConfig& config = c.model;
  const auto backend = device.make();
  Model<float> model(*backend, config, kBatch, kSteps);
  initialise(*backend, config, model);
  Optimizer<float> optimizer(model, default_settings(c.optimizer, Convention::kTorch));
  const DeviceDataset data = to_device(*backend, make_reviews(config.vocabulary));
  const auto rows = reviews_backwards(*backend);
  auto stats = backend->allocate<BatchStats>(kTrainSteps);
  for (std::int64_t step = 0; step < kTrainSteps; ++step) {
    const std::int64_t first = step * kBatch % 80, size = std::min(kBatch, kReviews - first);
    const auto stat = stats.span(static_cast<std::size_t>(step), 1);
    model.select(data, rows.span(static_cast<std::size_t>(first), static_cast<std::size_t>(size)),
                 {.padding = c.padding,
                  .word_dropout = 0.1f,
                  .dropout = 0.3f,
                  .embedding_dropout = config.bidirectional ? 0.2f : 0.0f,
                  .layer_dropout = config.layers > 1 ? 0.2f : 0.0f,
                  .variational = config.bidirectional,
                  .bptt = bptt,
                  .seed = 5,
                  .step = static_cast<std::uint64_t>(step)});
    model.forward();
    model.backward(stat);
    optimizer.step(c.learning_rate, {.norm = 1}, stat);
  }
  std::vector<BatchStats> measured(kTrainSteps);
  backend->download(std::span<const BatchStats>(stats.span()), std::span(measured));
  std::vector<float> weights(model.parameters().size());
  backend->download(std::as_const(model).parameters(), std::span(weights));
  Training result;
  for (const BatchStats& stat : measured) {
    result.losses.push_back(stat.loss_sum);
    result.norms.push_back(stat.grad_norm);
  }
  result.parameters = std::move(weights);
  return result;
}

class DeviceTraining : public testing::TestWithParam<std::tuple<TestDevice, Case>> {
 protected:
  /// As far back as the tested device goes.
  Training train_on(const TestDevice& device) {
    const auto& [tested, c] = GetParam();
    return train(device, c, bptt_of(tested, c.model));
  }
};

TEST_P(DeviceTraining, LossesAreTheCpus) {
  const TestDevice& device = std::get<0>(GetParam());
  REEL_REQUIRE_DEVICE(device);
  const Training expected = train_on({.name = "Cpu"}), actual = train_on(device);
  constexpr double kStepsApart = 10;  // errors of single steps add up over the training
  for (std::size_t step = 0; step < expected.losses.size(); ++step) {
    EXPECT_NEAR(actual.losses[step], expected.losses[step],
                kStepsApart * device.tolerances.gradient * expected.losses[step])
        << "step " << step;
    EXPECT_NEAR(actual.norms[step], expected.norms[step],
                kStepsApart * device.tolerances.gradient * expected.norms[step])
        << "step " << step;
  }
}

TEST_P(DeviceTraining, AVocabularyProjectedAtOnceGivesTheSameLogits) {
  const auto& [device, c] = GetParam();
  REEL_REQUIRE_DEVICE(device);
  const auto backend = device.make();
  const DeviceDataset data = to_device(*backend, make_reviews(c.model.vocabulary));
  const auto rows = reviews_backwards(*backend);
  const auto logits = [&](bool at_once) {  // each time of a new model, in whose memory no states lie
    Model<float> model(*backend, c.model, kReviews, kSteps);
    initialise(*backend, c.model, model);
    model.select(data, rows.span(), {.padding = c.padding});
    at_once ? model.forward(model.project_vocabulary()) : model.forward();
    std::vector<float> values(kReviews);
    backend->download(model.logits(), std::span(values));
    return values;
  };
  const std::vector<float> expected = logits(false), actual = logits(true);
  for (std::size_t i = 0; i < kReviews; ++i) {
    EXPECT_NEAR(actual[i], expected[i], device.tolerances.forward) << "review " << i;
  }
}

TEST_P(DeviceTraining, RepeatsBitForBit) {
  const TestDevice& device = std::get<0>(GetParam());
  REEL_REQUIRE_DEVICE(device);
  EXPECT_EQ(train_on(device), train_on(device));
}

class DeviceStats : public testing::TestWithParam<TestDevice> {};

/// Keras: p > 0.5. A new model's logits are exactly 0 where its output layer's weights are.
TEST_P(DeviceStats, ALogitOfZeroIsNotPositive) {
  REEL_REQUIRE_DEVICE(GetParam());
  const auto backend = GetParam().make();
  Model<float> model(*backend, {.vocabulary = 60, .embedding = 12, .hidden = 20}, kReviews, kSteps);  // of zeros
  const Dataset reviews = make_reviews(60);
  const DeviceDataset data = to_device(*backend, reviews);
  const auto rows = reviews_backwards(*backend);
  auto stats = backend->allocate<BatchStats>(1);
  model.select(data, rows.span(), {});
  model.forward();
  model.backward(stats.span());
  BatchStats measured;
  backend->download(std::as_const(stats).span(), std::span(&measured, 1));
  EXPECT_EQ(measured.correct, static_cast<double>(std::ranges::count(reviews.labels, 0)));
}

/// A row word by word, with the state kept.
TEST_P(DeviceStats, KeptStatesAreThoseOfTheWholeRow) {
  const TestDevice& device = GetParam();
  REEL_REQUIRE_DEVICE(device);
  const auto backend = device.make();
  const ModelConfig config{.vocabulary = 60, .embedding = 12, .hidden = 24};
  const std::vector<std::int32_t> ids = {7, 3, 7, 59, 12};
  const auto logit = [&](Model<float>& model, std::span<const std::int32_t> words) {
    const std::array lengths = {static_cast<std::int32_t>(words.size())};
    model.load(words, lengths, {});
    model.forward();
    float value = 0;
    backend->download(model.logits(), std::span(&value, 1));
    return value;
  };
  Model<float> stream(*backend, config, 1, 1);
  initialise(*backend, config, stream);
  stream.keep_state();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Model<float> whole(*backend, config, 1, static_cast<std::int64_t>(i + 1));
    initialise(*backend, config, whole);
    const float expected = logit(whole, std::span(ids).first(i + 1));
    EXPECT_NEAR(logit(stream, std::span(ids).subspan(i, 1)), expected, device.tolerances.forward) << "word " << i;
    stream.carry_state();
  }
}
INSTANTIATE_TEST_SUITE_P(Devices, DeviceStats, testing::ValuesIn(test::all_devices()),
                         [](const auto& device) { return device.param.name; });

// Rules that divide by the gradient's size turn rounding into steps: they take small ones, lest differences grow
// exponentially. Vocabularies above, below and between the positions of the batches: the token index takes either way.
const Case kCases[] = {
    {"Adam", {.vocabulary = 60, .embedding = 12, .hidden = 20}},
    {"Packed", {.vocabulary = 60, .embedding = 12, .hidden = 40}},
    {"PackedMean", {.vocabulary = 500, .embedding = 9, .hidden = 136, .pool = Pool::kMean}, OptimizerKind::kSgd},
    {"SgdGathered", {.vocabulary = 500, .embedding = 9, .hidden = 33, .pool = Pool::kMean}, OptimizerKind::kSgd},
    {"AdamBetween", {.vocabulary = 300, .embedding = 8, .hidden = 20}},  // whole, but for the smaller batches
    {"RmspropPadded", {.vocabulary = 40, .embedding = 8, .hidden = 65}, OptimizerKind::kRmsprop, Padding::kPre, 1e-4},
    {"AdagradWide", {.vocabulary = 30, .embedding = 8, .hidden = 260}, OptimizerKind::kAdagrad, Padding::kNone, 1e-3},
    {"Gru", {.vocabulary = 60, .embedding = 12, .hidden = 20, .cell = Cell::kGru}},
    {"PackedGruMean", {.vocabulary = 60, .embedding = 12, .hidden = 40, .cell = Cell::kGru, .pool = Pool::kMean}},
    {"PackedLstms",
     {.vocabulary = 60, .embedding = 12, .hidden = 72, .cell = Cell::kLstm, .layers = 2, .bidirectional = true}},
    {"TwoLayers", {.vocabulary = 60, .embedding = 12, .hidden = 20, .layers = 2}},
    {"ReverseToo",
     {.vocabulary = 60, .embedding = 12, .hidden = 20, .layers = 2, .bidirectional = true, .pool = Pool::kConcat},
     OptimizerKind::kAdam,
     Padding::kNone,
     1e-3},
    {"GruBothWays",
     {.vocabulary = 500, .embedding = 9, .hidden = 33, .cell = Cell::kGru, .bidirectional = true, .pool = Pool::kMax}},
    {"ThreeLstms",
     {.vocabulary = 60, .embedding = 12, .hidden = 20, .cell = Cell::kLstm, .layers = 3, .bidirectional = true}},
    {"LstmMean", {.vocabulary = 500, .embedding = 9, .hidden = 33, .cell = Cell::kLstm, .pool = Pool::kMean}},
};

INSTANTIATE_TEST_SUITE_P(Models, DeviceTraining,
                         testing::Combine(testing::ValuesIn(test::all_devices()), testing::ValuesIn(kCases)),
                         [](const auto& tested) {
                           return std::get<0>(tested.param).name + "_" + std::get<1>(tested.param).name;
                         });

}  // namespace
}  // namespace reel
