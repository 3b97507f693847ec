// The parameters of the classifier: names, shapes and places in one flat buffer; initialisation.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace reel {

struct ModelConfig {
  std::int64_t vocabulary = 10000;  // V
  std::int64_t embedding = 128;     // E
  std::int64_t hidden = 128;        // H
  Cell cell = Cell::kTanh;
  Pool pool = Pool::kLast;
};

/// One parameter of the flat buffer. The recurrence has one bias; PyTorch's two are joined on import (b_ih + b_hh) and
/// written as (b, 0) on export.
struct Parameter {
  std::string
      name;  // PyTorch's: embedding.weight, rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, fc.weight, fc.bias
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;
  std::int64_t size = 0;
};

/// In the order of the flat buffer: embedding.weight [V, E] first, then the dense ones:
/// weight_ih [H, E], weight_hh [H, H], bias [H], fc.weight [1, H], fc.bias [1].
std::vector<Parameter> parameter_layout(const ModelConfig& config);
std::int64_t parameter_count(const ModelConfig& config);  // 1,313,025 for the tutorial's model

enum class Init { kKeras, kTorch };

struct Initialisation {
  Init init = Init::kKeras;
  bool orthogonal = true;  // the recurrent weights
  std::uint64_t seed = 0;
};

/// Fills the flat buffer. Keras: embedding U(-0.05, 0.05), Glorot-uniform matrices, zero biases. PyTorch: embedding
/// N(0, 1), everything else U(-1/sqrt(H), 1/sqrt(H)), the recurrent bias the sum of two such draws. Orthogonal
/// recurrent weights are Q . sign(diag R) of a normal matrix. Numbers are addressed by (seed, parameter): the same on
/// every device.
template <class Real>
void initialise(const ModelConfig& config, const Initialisation& how, std::span<Real> parameters);

}  // namespace reel
