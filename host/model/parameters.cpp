#include "host/model/parameters.h"

#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>
#include <utility>

#include "kernels/check.h"
#include "kernels/philox.h"

namespace reel {
namespace {

/// U(-limit, limit)
double uniform(const RandomKey& key, std::uint64_t position, double limit) {
  return (2.0 * random_uniform(key, position) - 1.0) * limit;
}
/// N(0, 1) by Box and Muller, from positions 2i and 2i + 1.
double normal(const RandomKey& key, std::uint64_t i) {
  const double u = 1.0 - random_uniform(key, 2 * i);  // in (0, 1]
  const double angle = 2 * std::numbers::pi * random_uniform(key, 2 * i + 1);
  return std::sqrt(-2 * std::log(u)) * std::cos(angle);
}

/// Q . sign(diag R) of a normal matrix [n * gates, n]: modified Gram-Schmidt on its columns, twice for orthogonality to
/// rounding. A positive length in the normalisation is the positive diagonal that the sign asks for.
template <class Real>
void orthogonal(const RandomKey& key, std::size_t n, std::span<Real> matrix) {
  const std::size_t m = matrix.size() / n;
  std::vector<double> q(m * n);  // row j is column j of Q
  for (std::size_t i = 0; i < m * n; ++i) q[(i % n) * m + i / n] = normal(key, i);
  for (std::size_t j = 0; j < n; ++j) {
    double* column = &q[j * m];
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t k = 0; k < j; ++k) {
        const double* other = &q[k * m];
        const double dot = std::inner_product(column, column + m, other, 0.0);
        for (std::size_t i = 0; i < m; ++i) column[i] -= dot * other[i];
      }
    }
    const double length = std::sqrt(std::inner_product(column, column + m, column, 0.0));
    for (std::size_t i = 0; i < m; ++i) column[i] /= length;
  }
  for (std::size_t i = 0; i < m * n; ++i) matrix[i] = static_cast<Real>(q[(i % n) * m + i / n]);
}

double glorot(const Parameter& p) { return std::sqrt(6.0 / static_cast<double>(p.shape[0] + p.shape[1])); }

}  // namespace

std::string direction_suffix(std::int64_t layer, bool reverse) {
  return "_l" + std::to_string(layer) + (reverse ? "_reverse" : "");
}

ParameterLayout::ParameterLayout(const ModelConfig& config) {
  const CellTraits& cell = traits(config.cell);
  const std::int64_t V = config.vocabulary, E = config.embedding, H = config.hidden, GH = cell.gates * H;
  embedding = add("embedding.weight", {V, E}, Initializer::kEmbedding, 1);
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const std::int64_t input = layer == 0 ? E : config.output_width();
    layers.emplace_back();
    for (std::int64_t d = 0; d < config.directions(); ++d) {
      const std::string suffix = direction_suffix(layer, d > 0);
      const ParameterId w_ih = add("rnn.weight_ih" + suffix, {GH, input}, Initializer::kMatrix, H);
      const ParameterId w_hh = add("rnn.weight_hh" + suffix, {GH, H}, Initializer::kRecurrentMatrix, H);
      const ParameterId bias = add("rnn.bias_ih" + suffix, {GH}, Initializer::kGateBias, H);
      layers.back().push_back({.w_ih = w_ih, .w_hh = w_hh, .bias = bias});
      if (cell.recurrent_bias) layers.back().back().b_hh = add("rnn.bias_hh" + suffix, {H}, Initializer::kBias, H);
    }
  }
  const std::int64_t P = config.pooled_width();
  fc_weight = add("fc.weight", {config.outputs, P}, Initializer::kMatrix, P);
  fc_bias = add("fc.bias", {config.outputs}, Initializer::kBias, P);
}

ParameterId ParameterLayout::add(std::string name, std::vector<std::int64_t> shape, Initializer initializer,
                                 std::int64_t fan_in) {
  const std::int64_t count = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies{});
  parameters.push_back({.name = std::move(name),
                        .shape = std::move(shape),
                        .initializer = initializer,
                        .fan_in = fan_in,
                        .offset = size,
                        .size = count});
  size += count;
  return parameters.size() - 1;
}

std::int64_t parameter_count(const ModelConfig& config) { return ParameterLayout(config).size; }

template <class Real>
void initialise(const ModelConfig& config, const Initialisation& how, std::span<Real> parameters) {
  REEL_CHECK(static_cast<std::int64_t>(parameters.size()) == parameter_count(config), "{} parameters",
             parameters.size());
  const bool keras = how.init == Init::kKeras;
  const ParameterLayout layout(config);
  for (ParameterId id = 0; id < layout.parameters.size(); ++id) {
    const Parameter& p = layout.parameters[id];
    const RandomKey key{.seed = how.seed, .stream = RandomStream::kInitialisation, .step = id};
    const std::span<Real> values = part_of(parameters, p);
    const double torch_limit = 1 / std::sqrt(static_cast<double>(p.fan_in));
    const auto fill = [&](auto value) {
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<Real>(value(i));
    };
    const bool matrix = p.initializer == Initializer::kMatrix || p.initializer == Initializer::kRecurrentMatrix;
    const auto H = static_cast<std::size_t>(config.hidden);
    if (p.initializer == Initializer::kRecurrentMatrix && how.orthogonal) {
      orthogonal(key, H, values);
    } else if (p.initializer == Initializer::kEmbedding) {
      fill([&](std::size_t i) { return keras ? uniform(key, i, 0.05) : normal(key, i); });
    } else if (keras) {
      const bool forgets = config.cell == Cell::kLstm && p.initializer == Initializer::kGateBias;
      fill([&](std::size_t i) { return matrix ? uniform(key, i, glorot(p)) : forgets && i / H == 1 ? 1.0 : 0.0; });
    } else if (p.initializer == Initializer::kGateBias) {
      // PyTorch's two are one, but for the last gate of a cell with a recurrent bias.
      const std::size_t joined = values.size() - (traits(config.cell).recurrent_bias ? H : 0);
      fill([&](std::size_t i) {
        const double other = i < joined ? uniform(key, 2 * i + 1, torch_limit) : 0.0;
        return uniform(key, 2 * i, torch_limit) + other;
      });
    } else {
      fill([&](std::size_t i) { return uniform(key, i, torch_limit); });
    }
  }
}

template void initialise(const ModelConfig&, const Initialisation&, std::span<float>);
template void initialise(const ModelConfig&, const Initialisation&, std::span<double>);

}  // namespace reel
