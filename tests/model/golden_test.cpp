// The whole model against PyTorch and Keras in float64; the scripts of tests/golden/ wrote the values.
#include <cmath>
#include <map>

#include "host/model/optimizer.h"
#include "tests/model/golden_fixture.h"

namespace reel {
namespace {

constexpr double kTolerance = 1e-13;  // absolute; all values are of order one, sums are of a few dozen terms

void expect_near(std::span<const double> actual, const std::vector<double>& expected, const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], kTolerance) << what << '[' << i << ']';
  }
}

class Golden : public GoldenTest {
 protected:
  Golden() : GoldenTest("golden.json", 6) {}

  Model<double> make_model(Cell cell, Pool pool) { return make_model(cell, pool, golden_["parameters"]); }
  Model<double> make_model(Cell cell, Pool pool, const nlohmann::json& parameters) {
    const ModelConfig config{
        .vocabulary = golden_["V"], .embedding = golden_["E"], .hidden = golden_["H"], .cell = cell, .pool = pool};
    return Model<double>(*backend_, config, 4, 6, parameters.get<std::vector<double>>());
  }
  void check(const nlohmann::json& expected, const nlohmann::json& parameters) {
    SCOPED_TRACE(expected["nonlinearity"].dump() + expected["pool"].dump() + expected["masked"].dump());
    const Pool pool = expected["pool"] == "last" ? Pool::kLast : Pool::kMean;
    Model<double> model = make_model(cell_named(expected["nonlinearity"]), pool, parameters);
    const BatchStats stats = run(model, expected["masked"] ? Padding::kNone : Padding::kPost);
    EXPECT_NEAR(stats.loss_sum / 4, expected["loss"].get<double>(), kTolerance);
    expect_near(model.logits(), expected["logits"], "logits");
    expect_near(gradient(model), expected["gradient"], "gradient");
  }
};

TEST_F(Golden, ForwardAndGradients) {
  ASSERT_EQ(golden_["models"].size(), 8u);
  for (const auto& expected : golden_["models"]) check(expected, golden_["parameters"]);
}

TEST_F(Golden, ForwardAndGradientsOfGatedCells) {
  ASSERT_EQ(golden_["gated"].size(), 8u);
  for (const auto& expected : golden_["gated"]) check(expected, expected["parameters"]);
}

class FamilyGolden : public GoldenTest {
 protected:
  FamilyGolden() : GoldenTest("family.json", 5) {}
};

TEST_F(FamilyGolden, EveryCellLayerDirectionAndPooling) {
  ASSERT_EQ(golden_["cases"].size(), 4u * 2 * 2 * 4);
  for (const auto& expected : golden_["cases"]) {
    SCOPED_TRACE(expected["cell"].dump() + expected["layers"].dump() + expected["bidirectional"].dump() +
                 expected["pool"].dump());
    const ModelConfig config = family_config(expected);
    Model<double> model(*backend_, config, 3, 5, family_parameters(config));
    EXPECT_NEAR(run(model, Padding::kNone).loss_sum / 3, expected["loss"].get<double>(), kTolerance);
    expect_near(model.logits(), expected["logits"], "logits");
    expect_near(gradient(model), expected["gradient"], "gradient");
  }
}

OptimizerSettings settings_of(const nlohmann::json& golden) {
  const std::string name = golden["optimizer"];
  const std::string kind = name.substr(0, name.find('+'));
  const std::string variant = name.substr(std::min(name.size(), kind.size() + 1));
  const std::map<std::string, OptimizerKind> kinds = {{"adam", OptimizerKind::kAdam},
                                                      {"adamw", OptimizerKind::kAdamW},
                                                      {"sgd", OptimizerKind::kSgd},
                                                      {"rmsprop", OptimizerKind::kRmsprop},
                                                      {"adagrad", OptimizerKind::kAdagrad}};
  OptimizerSettings settings =
      default_settings(kinds.at(kind), golden["convention"] == "keras" ? Convention::kKeras : Convention::kTorch);
  if (variant == "momentum" || variant == "nesterov") settings.momentum = 0.9;
  settings.nesterov = variant == "nesterov";
  if (variant == "decay") settings.weight_decay = 0.1;
  return settings;
}

TEST_F(Golden, TenStepsOfEveryOptimizerInBothConventions) {
  ASSERT_EQ(golden_["optimizers"].size(), 18u);
  for (const auto& expected : golden_["optimizers"]) {
    SCOPED_TRACE(expected["convention"].dump() + " " + expected["optimizer"].dump());
    Model<double> model = make_model(Cell::kTanh, Pool::kLast);
    Optimizer<double> optimizer(model, settings_of(expected));
    std::vector<double> losses;
    for (int step = 0; step < 10; ++step) {
      std::vector<BatchStats> stats = {run(model, Padding::kNone)};
      losses.push_back(stats[0].loss_sum / 4);
      optimizer.step(golden_["lr"], {}, stats);
    }
    expect_near(losses, expected["losses"], "loss");
    expect_near(model.parameters(), expected["parameters"], "parameters");
  }
}

}  // namespace
}  // namespace reel
