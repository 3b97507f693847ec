// Every loss against PyTorch in float64; tests/golden/make_losses_golden.py wrote the values.
#include <cmath>

#include "tests/kernels/tolerances.h"
#include "tests/model/golden_fixture.h"

namespace reel {
namespace {

using test::kFloat64;

class LossesGolden : public GoldenTest {
 protected:
  LossesGolden() : GoldenTest("losses.json", 5) {}

  /// What rows are labelled with and how much they count.
  void label(const nlohmann::json& loss) {
    if (!loss["labels"].is_null()) loss["labels"].get_to(data_.labels);
    data_.targets = {};
    for (const auto& row : loss["targets"]) {
      for (std::int32_t c = 0; c < std::ssize(row); ++c) {
        const float target = row[static_cast<std::size_t>(c)];
        if (target != 0) data_.targets.add(c, target);
      }
      data_.targets.end_row();
    }
    data_.weights.clear();
    if (!loss["weights"].is_null()) loss["weights"].get_to(data_.weights);
  }

  void check(const nlohmann::json& expected, const nlohmann::json& loss) {
    SCOPED_TRACE(expected["loss"].dump() + expected["cell"].dump() + expected["layers"].dump() +
                 expected["pool"].dump());
    label(loss);
    ModelConfig config = family_config(expected);
    const Names<Task> tasks = task_names();
    config.task = std::ranges::find(tasks, loss["task"].get<std::string>(), &Names<Task>::value_type::first)->second;
    config.outputs = loss["outputs"];
    Model<double> model(*backend_, config, 3, 5, family_parameters(config));
    if (!loss["positive_weights"].is_null()) {
      model.set_positive_weights(loss["positive_weights"].get<std::vector<float>>());
    }
    const double loss_sum = expected["loss_sum"];
    EXPECT_NEAR(run(model, Padding::kNone).loss_sum, loss_sum, kFloat64.forward * std::abs(loss_sum));
    check_gradient(gradient(model), expected["gradient"], config);
  }

  static void check_gradient(const std::vector<double>& actual, const std::vector<double>& expected,
                             const ModelConfig& config) {
    ASSERT_EQ(actual.size(), expected.size());
    const ParameterLayout layout(config);
    for (const Parameter& parameter : layout.parameters) {
      const auto found = part_of(std::span(actual), parameter), right = part_of(std::span(expected), parameter);
      double largest = 0;
      for (const double x : right) largest = std::max(largest, std::abs(x));
      EXPECT_GT(largest, 0) << parameter.name;
      for (std::size_t i = 0; i < right.size(); ++i) {
        EXPECT_NEAR(found[i], right[i], kFloat64.gradient * largest) << parameter.name << '[' << i << ']';
      }
    }
  }

  /// All cases whose loss is called so, and how many losses those are.
  void check_losses(const std::string& name, std::size_t count) {
    std::size_t cases = 0;
    for (const auto& expected : golden_["cases"]) {
      const std::string loss = expected["loss"];
      if (!loss.starts_with(name)) continue;
      check(expected, golden_["losses"][loss]);
      ++cases;
    }
    EXPECT_EQ(cases, count * 5) << "models";
  }
};

TEST_F(LossesGolden, Softmax) { check_losses("softmax", 4); }
TEST_F(LossesGolden, SeveralLabels) { check_losses("several labels", 3); }
TEST_F(LossesGolden, TwoClassesOfOneLogit) { check_losses("two classes", 3); }
TEST_F(LossesGolden, Regression) { check_losses("regression", 2); }

}  // namespace
}  // namespace reel
