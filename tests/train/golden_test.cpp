// The whole trainer against PyTorch in float64; tests/golden/make_trainer_golden.py wrote the values.
#include <map>

#include "host/files/safetensors.h"
#include "tests/train/trainer_fixture.h"

namespace reel {
namespace {

constexpr double kTolerance = 2e-6;  // relative to values of order one: float32 against float64, nine steps

class TrainerGolden : public TrainerTest, public testing::WithParamInterface<int> {};

/// Order, word dropout, dropout, schedule, clipping, a last smaller batch, three epochs: in every step the same loss,
/// gradient norm, accuracy and learning rate, and in the end the same parameters.
TEST_P(TrainerGolden, EveryStepIsPyTorchs) {
  const Json golden = Json::parse(contents(test_files() / "golden" / "trainer.json"));
  const Json& expected = golden["cases"][static_cast<std::size_t>(GetParam())];

  TrainConfig config;
  config.model = {.vocabulary = golden["V"],
                  .embedding = golden["E"],
                  .hidden = golden["H"],
                  .pool = expected["pool"] == "last" ? Pool::kLast : Pool::kMean};
  config.preprocessing.maxlen = golden["T"];
  config.preprocessing.load.oov_char = golden["unknown"];
  config.init_from = folder_ / "start.safetensors";
  const bool adam = expected["optimizer"] == "adam";
  config.optimizer = {.kind = adam ? OptimizerKind::kAdam : OptimizerKind::kSgd,
                      .convention = Convention::kTorch,
                      .learning_rate = expected["lr"].get<double>(),
                      .nesterov = !adam};
  if (!adam) config.optimizer.momentum = 0.9;
  config.schedule = expected["schedule"] == "linear" ? ScheduleKind::kLinear : ScheduleKind::kCosine;
  config.warmup = expected["warmup"];
  config.clipping.norm = golden["clip_norm"];
  config.dropout = golden["dropout"];
  config.word_dropout = golden["word_dropout"];
  config.epochs = golden["epochs"];
  config.batch_size = golden["B"];
  config.seed = golden["seed"];
  config.log_every = 1;

  std::map<std::string, std::vector<float>> start;
  std::map<std::string, TensorView> tensors;
  for (std::size_t i = 0; i < golden["names"].size(); ++i) {
    std::vector<float>& values = start[golden["names"][i]] = expected["start"][i].get<std::vector<float>>();
    tensors[golden["names"][i]] = tensor_view(std::span<const float>(values), golden["shapes"][i]);
  }
  write_safetensors(config.init_from, tensors);

  TrainingData data{.source = "golden"};
  data.train.steps = data.test.steps = config.preprocessing.maxlen;
  for (std::size_t i = 0; i < golden["ids"].size(); ++i) {
    auto ids = golden["ids"][i].get<std::vector<std::int32_t>>();
    data.train.lengths.push_back(static_cast<std::int32_t>(ids.size()));
    data.train.labels.push_back(golden["labels"][i]);
    ids.resize(static_cast<std::size_t>(data.train.steps));
    data.train.ids.insert(data.train.ids.end(), ids.begin(), ids.end());
  }
  data.test = slice(data.train, 0, 5);

  const RunFolder run = RunFolder::create(folder_ / "run");
  Trainer trainer(
      *backend_, config, data, run,
      {.step = [](const StepReport&) {}, .epoch = [](const std::string&) {}, .line = [](const std::string&) {}});
  ASSERT_EQ(trainer.run(), Outcome::kFinished);

  std::vector<Json> steps = metrics_of("run");
  std::erase_if(steps, [](const Json& line) { return line["split"] != "train"; });
  ASSERT_EQ(steps.size(), expected["steps"].size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    SCOPED_TRACE(fmt::format("step {}", i + 1));
    for (const char* value : {"loss", "grad_norm", "accuracy"}) {
      EXPECT_NEAR(steps[i][value].get<double>(), expected["steps"][i][value].get<double>(), kTolerance) << value;
    }
    EXPECT_DOUBLE_EQ(steps[i]["lr"].get<double>(), expected["steps"][i]["lr"].get<double>());
  }
  std::vector<float> end;
  for (const Json& tensor : expected["end"]) {
    for (const Json& value : tensor) end.push_back(value);
  }
  EXPECT_THAT(state_of("run").parameters, testing::Pointwise(testing::FloatNear(static_cast<float>(kTolerance)), end));
}
INSTANTIATE_TEST_SUITE_P(Cases, TrainerGolden, testing::Values(0, 1));

}  // namespace
}  // namespace reel
