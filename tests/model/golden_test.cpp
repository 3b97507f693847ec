// The whole model against PyTorch and Keras in float64; the scripts of tests/golden/ wrote the values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "host/model/model.h"
#include "host/model/optimizer.h"
#include "kernels/make_backend.h"
#include "tests/support/support.h"

namespace reel {
namespace {

constexpr double kTolerance = 1e-13;  // absolute; all values are of order one, sums are of a few dozen terms

Cell cell_named(const std::string& name) {
  return std::ranges::find_if(kCells, [&](const CellTraits& traits) { return traits.name == name; })->cell;
}

class Golden : public testing::Test {
 protected:
  explicit Golden(const char* name = "golden.json", std::int64_t steps = 6) {
    std::ifstream file(test_files() / "golden" / name);
    golden_ = nlohmann::json::parse(file);
    data_.steps = steps;
    for (const auto& row : golden_["ids"]) {
      for (const auto& id : row) data_.ids.push_back(id);
    }
    data_.lengths = golden_["lengths"].get<std::vector<std::int32_t>>();
    data_.labels = golden_["labels"].get<std::vector<std::int32_t>>();
  }

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

  BatchStats run(Model<double>& model, Padding padding) {
    const DeviceDataset data = to_device(*backend_, data_);
    std::vector<std::int32_t> rows(data_.labels.size());
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<BatchStats> stats(1);
    model.select(data, rows, {.padding = padding});
    model.forward();
    model.backward(stats);
    return stats[0];
  }

  /// All gradients in the order of ParameterLayout, the embedding's dense.
  std::vector<double> gradient(Model<double>& model) {
    const ParameterGradient<double> g = model.gradient();
    const auto E = static_cast<std::size_t>(model.config().embedding);
    std::vector<double> flat;
    for (const std::int32_t slot : g.index.slot) {
      for (std::size_t e = 0; e < E; ++e) {
        flat.push_back(slot < 0 ? 0 : g.rows[static_cast<std::size_t>(slot) * E + e]);
      }
    }
    flat.insert(flat.end(), g.dense.begin(), g.dense.end());
    return flat;
  }

  static void expect_near(std::span<const double> actual, const std::vector<double>& expected, const char* what) {
    ASSERT_EQ(actual.size(), expected.size()) << what;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(actual[i], expected[i], kTolerance) << what << '[' << i << ']';
    }
  }

  nlohmann::json golden_;
  Dataset data_;
  std::unique_ptr<Backend<double>> backend_ = make_cpu_backend<double>(2);
};

TEST_F(Golden, ForwardAndGradients) {
  ASSERT_EQ(golden_["models"].size(), 8u);
  for (const auto& expected : golden_["models"]) check(expected, golden_["parameters"]);
}

TEST_F(Golden, ForwardAndGradientsOfGatedCells) {
  ASSERT_EQ(golden_["gated"].size(), 8u);
  for (const auto& expected : golden_["gated"]) check(expected, expected["parameters"]);
}

class FamilyGolden : public Golden {
 protected:
  FamilyGolden() : Golden("family.json", 5) {}
};

TEST_F(FamilyGolden, EveryCellLayerDirectionAndPooling) {
  ASSERT_EQ(golden_["cases"].size(), 4u * 2 * 2 * 4);
  for (const auto& expected : golden_["cases"]) {
    SCOPED_TRACE(expected["cell"].dump() + expected["layers"].dump() + expected["bidirectional"].dump() +
                 expected["pool"].dump());
    const Names<Pool> pools = pool_names();
    const auto pool = std::ranges::find(pools, expected["pool"].get<std::string>(), &Names<Pool>::value_type::first);
    const ModelConfig config{.vocabulary = golden_["V"],
                             .embedding = golden_["E"],
                             .hidden = golden_["H"],
                             .cell = cell_named(expected["cell"]),
                             .layers = expected["layers"],
                             .bidirectional = expected["bidirectional"],
                             .pool = pool->second};
    std::vector<double> parameters(static_cast<std::size_t>(parameter_count(config)));
    for (std::size_t i = 0; i < parameters.size(); ++i)
      parameters[i] = static_cast<double>(i * 7919 % 1201) / 1000 - 0.6;
    Model<double> model(*backend_, config, 3, 5, parameters);
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
    Optimizer<double> optimizer(*backend_, settings_of(expected), parameter_count(model.config()));
    std::vector<double> losses;
    for (int step = 0; step < 10; ++step) {
      std::vector<BatchStats> stats = {run(model, Padding::kNone)};
      losses.push_back(stats[0].loss_sum / 4);
      optimizer.step(model, golden_["lr"], {}, stats);
    }
    expect_near(losses, expected["losses"], "loss");
    expect_near(model.parameters(), expected["parameters"], "parameters");
  }
}

}  // namespace
}  // namespace reel
