// Clipping and the optimizer step against scalar code written from the formulas. Ten steps against PyTorch and Keras:
// tests/model/golden_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/check.h"
#include "kernels/make_backend.h"
#include "tests/kernels/tolerances.h"

namespace reel::test {
namespace {

using testing::ElementsAre;

/// A model of 5 x 3 table rows, of which 1 and 4 are touched, and 7 dense parameters.
struct Model {
  std::vector<std::int32_t> count = {2}, tokens = {4, 1}, slot = {-1, 1, -1, -1, 0}, row_of, segment = {0, 0, 0},
                            position;
  std::vector<double> rows = {1, -2, 3, 0.5, 0.25, -4}, dense = {1, 2, -3, 4, -5, 6, 0.125};
  std::vector<double> parameters, state1 = std::vector<double>(22), state2 = std::vector<double>(22);
  std::vector<double> scale = {1};
  std::vector<BatchStats> stats = std::vector<BatchStats>(1);

  Model() {
    for (int i = 0; i < 22; ++i) parameters.push_back(0.1 * (i - 9));
  }
  ParameterGradient<double> gradient() { return {{count, tokens, slot, row_of, segment, position}, 3, rows, dense}; }
  /// The gradient of parameter i.
  double g(std::size_t i) const {
    if (i >= 15) return dense[i - 15];
    const std::int32_t s = slot[i / 3];
    return s < 0 ? 0 : rows[static_cast<std::size_t>(s) * 3 + i % 3];
  }
};

TEST(ClipGradient, ScalesByTheGlobalNorm) {
  Model m;
  double squares = 0;
  for (std::size_t i = 0; i < 22; ++i) squares += m.g(i) * m.g(i);
  const auto backend = make_cpu_backend<double>(2);
  backend->run(ClipGradient<double>{.gradient = m.gradient(), .clip_norm = 1, .scale = m.scale, .stats = m.stats});
  EXPECT_NEAR(m.stats[0].grad_norm, std::sqrt(squares), 1e-12);
  EXPECT_NEAR(m.scale[0], 1 / (std::sqrt(squares) + 1e-6), 1e-12);
  backend->run(ClipGradient<double>{.gradient = m.gradient(), .clip_norm = 1e6, .scale = m.scale, .stats = m.stats});
  EXPECT_EQ(m.scale[0], 1);
  backend->run(ClipGradient<double>{.gradient = m.gradient(), .clip_norm = 0, .scale = m.scale, .stats = m.stats});
  EXPECT_EQ(m.scale[0], 1);
}

TEST(ClipGradient, ClipsValuesFirst) {
  Model m;
  const auto backend = make_cpu_backend<double>(1);
  backend->run(ClipGradient<double>{.gradient = m.gradient(), .clip_value = 0.5, .scale = m.scale, .stats = m.stats});
  EXPECT_THAT(m.rows, ElementsAre(0.5, -0.5, 0.5, 0.5, 0.25, -0.5));
  EXPECT_THAT(m.dense, ElementsAre(0.5, 0.5, -0.5, 0.5, -0.5, 0.5, 0.125));
}

TEST(ClipGradient, NotANumberStaysOne) {
  Model m;
  m.dense[3] = std::numeric_limits<double>::quiet_NaN();
  make_cpu_backend<double>(1)->run(ClipGradient<double>{
      .gradient = m.gradient(), .clip_value = 0.5, .clip_norm = 1, .scale = m.scale, .stats = m.stats});
  EXPECT_TRUE(std::isnan(m.stats[0].grad_norm));
}

struct Scalar {
  double w, s1, s2;
};

/// One parameter's step, from the table in host/model/optimizer.cpp; `start` is Adagrad's accumulator.
Scalar step_scalar(const OptimizerSettings& s, double lr, int t, Scalar x, double g) {
  const bool keras = s.convention == Convention::kKeras;
  if (keras || s.kind == OptimizerKind::kAdamW)
    x.w -= lr * s.weight_decay * x.w;
  else
    g += s.weight_decay * x.w;
  switch (s.kind) {
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW: {
      x.s1 = s.beta1 * x.s1 + (1 - s.beta1) * g;
      x.s2 = s.beta2 * x.s2 + (1 - s.beta2) * g * g;
      const double c1 = 1 - std::pow(s.beta1, t), c2 = std::sqrt(1 - std::pow(s.beta2, t));
      x.w -= keras ? lr * c2 / c1 * x.s1 / (std::sqrt(x.s2) + s.epsilon)
                   : lr / c1 * x.s1 / (std::sqrt(x.s2) / c2 + s.epsilon);
      break;
    }
    case OptimizerKind::kSgd: {
      const double step = keras ? lr * g : g;
      x.s1 = s.momentum * x.s1 + step;
      const double move = s.nesterov ? s.momentum * x.s1 + step : x.s1;
      x.w -= keras ? move : lr * move;
      break;
    }
    case OptimizerKind::kRmsprop: {
      x.s1 = s.rho * x.s1 + (1 - s.rho) * g * g;
      const double move = keras ? lr * g / std::sqrt(x.s1 + s.epsilon) : g / (std::sqrt(x.s1) + s.epsilon);
      x.s2 = s.momentum * x.s2 + move;
      x.w -= keras ? x.s2 : lr * x.s2;
      break;
    }
    case OptimizerKind::kAdagrad:
      x.s1 += g * g;
      x.w -= lr * g / (keras ? std::sqrt(x.s1 + s.epsilon) : std::sqrt(x.s1) + s.epsilon);
      break;
  }
  return x;
}

class OptimizerStepTest : public testing::TestWithParam<std::tuple<OptimizerKind, Convention>> {};

TEST_P(OptimizerStepTest, FiveStepsFollowTheFormulas) {
  const auto [kind, convention] = GetParam();
  for (const double momentum : {0.0, 0.9}) {
    if (momentum != 0 && kind != OptimizerKind::kSgd && kind != OptimizerKind::kRmsprop) continue;
    const OptimizerSettings settings{.kind = kind,
                                     .convention = convention,
                                     .epsilon = 1e-3,
                                     .momentum = momentum,
                                     .nesterov = momentum != 0,
                                     .weight_decay = 0.1};
    Model m;
    const bool two = kind == OptimizerKind::kAdam || kind == OptimizerKind::kAdamW ||
                     (kind == OptimizerKind::kRmsprop && momentum != 0);
    if (!two) m.state2.clear();
    std::vector<Scalar> expected;
    for (const double w : m.parameters) expected.push_back({w, 0, 0});
    const auto backend = make_cpu_backend<double>(2);
    m.scale[0] = 0.5;
    for (int t = 1; t <= 5; ++t) {
      const double lr = 0.1 / t;
      for (std::size_t i = 0; i < 22; ++i) expected[i] = step_scalar(settings, lr, t, expected[i], 0.5 * m.g(i));
      backend->run(OptimizerStep<double>{.settings = settings,
                                         .step = t,
                                         .learning_rate = lr,
                                         .gradient = m.gradient(),
                                         .scale = m.scale,
                                         .parameters = m.parameters,
                                         .state1 = m.state1,
                                         .state2 = m.state2});
    }
    for (std::size_t i = 0; i < 22; ++i) {
      EXPECT_NEAR(m.parameters[i], expected[i].w, kTolerances<double>.optimizer) << i << " momentum " << momentum;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, OptimizerStepTest,
                         testing::Combine(testing::Values(OptimizerKind::kAdam, OptimizerKind::kAdamW,
                                                          OptimizerKind::kSgd, OptimizerKind::kRmsprop,
                                                          OptimizerKind::kAdagrad),
                                          testing::Values(Convention::kKeras, Convention::kTorch)));

TEST(OptimizerStep, StateOfTheWrongSizeIsRefused) {
  Model m;
  m.state1.pop_back();
  EXPECT_THROW(make_cpu_backend<double>(1)->run(OptimizerStep<double>{.settings = {},
                                                                      .gradient = m.gradient(),
                                                                      .scale = m.scale,
                                                                      .parameters = m.parameters,
                                                                      .state1 = m.state1,
                                                                      .state2 = m.state2}),
               ContractError);
}

}  // namespace
}  // namespace reel::test
