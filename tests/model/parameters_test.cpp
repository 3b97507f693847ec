#include "host/model/parameters.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "kernels/philox.h"
#include "tests/support/support.h"

namespace reel {
namespace {

std::vector<double> initial(const ModelConfig& config, const Initialisation& how) {
  std::vector<double> all(static_cast<std::size_t>(parameter_count(config)));
  initialise<double>(config, how, all);
  return all;
}

std::span<const double> tensor(const std::vector<double>& all, const ModelConfig& config, std::string_view name) {
  for (const Parameter& p : ParameterLayout(config).parameters) {
    if (p.name == name) {
      return std::span(all).subspan(static_cast<std::size_t>(p.offset), static_cast<std::size_t>(p.size));
    }
  }
  throw std::runtime_error("no such parameter");
}

struct Moments {
  double least, largest, mean, variance;
};

Moments moments(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  const double squares = std::inner_product(values.begin(), values.end(), values.begin(), 0.0) / n;
  const auto [least, largest] = std::ranges::minmax(values);
  return {least, largest, mean, squares - mean * mean};
}

/// As many numbers from U(-limit, limit): they fill the interval and no more.
void expect_uniform(std::span<const double> values, double limit) {
  const Moments m = moments(values);
  EXPECT_GE(m.least, -limit);
  EXPECT_LE(m.largest, limit);
  // The outermost 8 / n of the interval stays empty with probability exp(-8).
  const double inner = limit * (1 - 16 / static_cast<double>(values.size()));
  EXPECT_LT(m.least, -inner);
  EXPECT_GT(m.largest, inner);
  // The variance of n squares of such numbers is 4/45 limit^4 / n; four standard deviations.
  const double deviation = limit * limit * std::sqrt(4 / (45 * static_cast<double>(values.size())));
  EXPECT_NEAR(m.variance + m.mean * m.mean, limit * limit / 3, 4 * deviation);
}

constexpr ModelConfig kConfig{.vocabulary = 400, .embedding = 32, .hidden = 48};

TEST(Parameters, TheTutorialsModelHas1313025) { EXPECT_EQ(parameter_count({}), 1313025); }

TEST(Parameters, LayoutIsDenseAndNamedAsPyTorchDoes) {
  std::int64_t offset = 0;
  std::vector<std::string> names;
  for (const Parameter& p : ParameterLayout(kConfig).parameters) {
    EXPECT_EQ(p.offset, offset);
    offset += p.size;
    names.push_back(p.name);
  }
  EXPECT_THAT(names, testing::ElementsAre("embedding.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0",
                                          "fc.weight", "fc.bias"));
}

TEST(Initialise, Keras) {
  const auto all = initial(kConfig, {.seed = 1});
  expect_uniform(tensor(all, kConfig, "embedding.weight"), 0.05);
  expect_uniform(tensor(all, kConfig, "rnn.weight_ih_l0"), std::sqrt(6.0 / (32 + 48)));
  expect_uniform(tensor(all, kConfig, "fc.weight"), std::sqrt(6.0 / (48 + 1)));
  for (const double b : tensor(all, kConfig, "rnn.bias_ih_l0")) EXPECT_EQ(b, 0);
  EXPECT_EQ(tensor(all, kConfig, "fc.bias")[0], 0);
}

TEST(Initialise, Torch) {
  const auto all = initial(kConfig, {.init = Init::kTorch, .orthogonal = false, .seed = 1});
  const Moments embedding = moments(tensor(all, kConfig, "embedding.weight"));
  EXPECT_NEAR(embedding.mean, 0, 0.03);
  EXPECT_NEAR(embedding.variance, 1, 0.05);
  EXPECT_GT(embedding.largest, 3);
  const double limit = 1 / std::sqrt(48.0);
  for (const char* name : {"rnn.weight_ih_l0", "rnn.weight_hh_l0"}) expect_uniform(tensor(all, kConfig, name), limit);
  const Moments bias = moments(tensor(all, kConfig, "rnn.bias_ih_l0"));
  EXPECT_LE(bias.largest, 2 * limit);
  EXPECT_NEAR(bias.variance, 2 * limit * limit / 3, 0.4 * limit * limit) << "the sum of two draws";
}

/// Box and Muller, Annals of Mathematical Statistics 29 (1958), 610-611: of two uniform numbers that nothing else uses.
TEST(Initialise, NormalNumbersAreIndependent) {
  const auto all = initial(kConfig, {.init = Init::kTorch, .seed = 7});
  const auto table = tensor(all, kConfig, "embedding.weight");
  const RandomKey key{.seed = 7, .stream = RandomStream::kInitialisation, .step = 0};
  for (std::size_t i = 0; i < table.size(); ++i) {
    const double radius = std::sqrt(-2 * std::log(1.0 - random_uniform(key, 2 * i)));
    EXPECT_NEAR(table[i], radius * std::cos(2 * std::numbers::pi * random_uniform(key, 2 * i + 1)), 1e-12);
  }
}

TEST(Initialise, RecurrentWeightsAreOrthogonal) {
  const auto all = initial(kConfig, {.seed = 1});
  const auto w = tensor(all, kConfig, "rnn.weight_hh_l0");
  for (std::size_t i = 0; i < 48; ++i) {
    for (std::size_t j = 0; j < 48; ++j) {
      const double dot = std::inner_product(w.begin() + static_cast<std::ptrdiff_t>(48 * i),
                                            w.begin() + static_cast<std::ptrdiff_t>(48 * (i + 1)),
                                            w.begin() + static_cast<std::ptrdiff_t>(48 * j), 0.0);
      EXPECT_NEAR(dot, i == j ? 1 : 0, 1e-14);
    }
  }
}

/// Keras' recurrent kernel is [H, 4H] with orthogonal rows; ours is its transpose.
TEST(Initialise, OfAnLstmIsKeras) {
  ModelConfig config = kConfig;
  config.cell = Cell::kLstm;
  const auto all = initial(config, {.seed = 1});
  const auto w = tensor(all, config, "rnn.weight_hh_l0");
  const auto H = static_cast<std::size_t>(config.hidden);
  ASSERT_EQ(w.size(), 4 * H * H);
  for (std::size_t i = 0; i < H; ++i) {
    for (std::size_t j = 0; j < H; ++j) {
      double dot = 0;
      for (std::size_t k = 0; k < 4 * H; ++k) dot += w[k * H + i] * w[k * H + j];
      EXPECT_NEAR(dot, i == j ? 1 : 0, 1e-14);
    }
  }
  const auto bias = tensor(all, config, "rnn.bias_ih_l0");
  for (std::size_t i = 0; i < 4 * H; ++i) EXPECT_EQ(bias[i], i / H == 1 ? 1 : 0);  // forget
}

/// Its candidate's two biases are apart; those of the other gates are joined, each a sum of two draws.
TEST(Initialise, OfAGruIsPyTorchs) {
  ModelConfig config = kConfig;
  config.cell = Cell::kGru;
  const auto all = initial(config, {.init = Init::kTorch, .orthogonal = false, .seed = 1});
  const auto H = static_cast<std::size_t>(config.hidden);
  const double limit = 1 / std::sqrt(static_cast<double>(H));
  const auto bias = tensor(all, config, "rnn.bias_ih_l0"), recurrent = tensor(all, config, "rnn.bias_hh_l0");
  ASSERT_EQ(bias.size(), 3 * H);
  ASSERT_EQ(recurrent.size(), H);
  const auto largest = [](std::span<const double> values) {
    double most = 0;
    for (const double v : values) most = std::max(most, std::abs(v));
    return most;
  };
  EXPECT_GT(largest(std::span(bias).first(2 * H)), limit);
  EXPECT_LE(largest(std::span(bias).last(H)), limit);
  EXPECT_LE(largest(recurrent), limit);
  EXPECT_GT(largest(recurrent), 0.8 * limit);
}

TEST(Initialise, TheSeedDecides) {
  EXPECT_EQ(initial(kConfig, {.seed = 1}), initial(kConfig, {.seed = 1}));
  EXPECT_NE(initial(kConfig, {.seed = 1}), initial(kConfig, {.seed = 2}));
}

}  // namespace
}  // namespace reel
