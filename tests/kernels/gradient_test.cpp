// Finite differences in float64: the gradient of the mean loss with respect to every kind of parameter.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "kernels/make_backend.h"
#include "tests/kernels/problem.h"
#include "tests/kernels/run_problem.h"

namespace reel::test {
namespace {

constexpr double kStep = 1e-5;
constexpr double kTolerance = 2e-8;  // absolute; central differences are exact to kStep^2

struct Case {
  const char* name;
  Shape shape;
  Pool pool;
  Cell cell;
  bool full_rows;  // as with --mask off: every row runs all steps
  float dropout;
  Outputs outputs{};
};

Case of_outputs(const char* name, const Outputs& outputs) {
  return {name, {13, 4, 6, 5, 7}, Pool::kConcat, Cell::kTanh, false, 0.4f, outputs};
}

class Gradient : public testing::TestWithParam<Case> {};

double mean_loss(Backend<double>& backend, const Problem& p) {
  return run_problem(backend, p).loss_sum / static_cast<double>(p.shape.batch);
}

TEST_P(Gradient, AgreesWithFiniteDifferences) {
  const Case& c = GetParam();
  Problem p = make_problem(c.shape, c.pool, c.cell, c.dropout, 4, c.outputs);
  if (c.full_rows) std::fill(p.lengths.begin(), p.lengths.end(), static_cast<std::int32_t>(c.shape.steps));
  const auto backend = make_cpu_backend<double>(1);
  const Results r = run_problem(*backend, p);

  const auto check = [&](std::vector<double>& parameter, const std::vector<double>& gradient, const char* name) {
    ASSERT_EQ(parameter.size(), gradient.size());
    for (std::size_t i = 0; i < parameter.size(); i += 1 + parameter.size() / 60) {
      const double value = parameter[i];
      parameter[i] = value + kStep;
      const double above = mean_loss(*backend, p);
      parameter[i] = value - kStep;
      const double below = mean_loss(*backend, p);
      parameter[i] = value;
      EXPECT_NEAR(gradient[i], (above - below) / (2 * kStep), kTolerance) << name << '[' << i << ']';
    }
  };
  check(p.embedding, r.d_embedding, "embedding");
  check(p.w_ih, r.d_w_ih, "w_ih");
  check(p.w_hh, r.d_w_hh, "w_hh");
  check(p.bias, r.d_bias, "bias");
  check(p.b_hh, r.d_b_hh, "b_hh");
  check(p.fc_weight, r.d_fc_weight, "fc_weight");
  check(p.fc_bias, r.d_fc_bias, "fc_bias");
}

INSTANTIATE_TEST_SUITE_P(
    Models, Gradient,
    testing::Values(Case{"MaskedRagged", {13, 4, 6, 5, 7}, Pool::kLast, Cell::kTanh, false, 0},
                    Case{"Unmasked", {13, 4, 6, 5, 7}, Pool::kLast, Cell::kTanh, true, 0},
                    Case{"MeanPool", {13, 4, 6, 5, 7}, Pool::kMean, Cell::kTanh, false, 0},
                    Case{"MeanPoolUnmasked", {13, 4, 6, 5, 7}, Pool::kMean, Cell::kTanh, true, 0},
                    Case{"Relu", {13, 4, 6, 5, 7}, Pool::kLast, Cell::kRelu, false, 0},
                    Case{"Gru", {13, 4, 6, 5, 7}, Pool::kLast, Cell::kGru, false, 0},
                    Case{"GruMeanUnmasked", {13, 4, 19, 5, 7}, Pool::kMean, Cell::kGru, true, 0},
                    Case{"Lstm", {13, 4, 6, 5, 7}, Pool::kLast, Cell::kLstm, false, 0},
                    Case{"LstmMeanUnmasked", {13, 4, 19, 5, 7}, Pool::kMean, Cell::kLstm, true, 0},
                    Case{"MaxPool", {13, 4, 6, 5, 7}, Pool::kMax, Cell::kTanh, false, 0},
                    Case{"ConcatPool", {13, 4, 19, 5, 7}, Pool::kConcat, Cell::kLstm, false, 0.4f},
                    Case{"Dropout", {13, 4, 6, 5, 7}, Pool::kLast, Cell::kTanh, false, 0.4f},
                    Case{"WiderThanAVector", {9, 19, 21, 9, 4}, Pool::kMean, Cell::kTanh, false, 0},
                    of_outputs("Softmax", {.count = 3, .loss = Loss::kSoftmax}),
                    of_outputs("SoftmaxWeights", {.count = 9, .loss = Loss::kSoftmax, .weights = true}),
                    of_outputs("SoftmaxTargets", {.count = 9, .loss = Loss::kSoftmax, .targets = true}),
                    of_outputs("WeightedLogit", {.weights = true, .positive_weights = true}),
                    of_outputs("SoftLogit", {.targets = true, .positive_weights = true}),
                    of_outputs("Sigmoids", {.count = 5, .targets = true, .weights = true, .positive_weights = true}),
                    of_outputs("Squared", {.loss = Loss::kSquared, .targets = true, .weights = true}),
                    of_outputs("Squares", {.count = 5, .loss = Loss::kSquared, .targets = true})),
    [](const testing::TestParamInfo<Case>& tested) { return tested.param.name; });

}  // namespace
}  // namespace reel::test
