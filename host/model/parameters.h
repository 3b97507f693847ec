// The parameters of a model: names, shapes and offsets in one flat buffer; initialisation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/model/config.h"

namespace reel {

/// How a parameter begins.
enum class Initializer { kEmbedding, kMatrix, kRecurrentMatrix, kGateBias, kBias };

/// One parameter of the flat buffer. A recurrent layer has one bias for each gate; PyTorch's two are joined on import
/// (b_ih + b_hh) and written as (b, 0) on export, but for a cell's recurrent bias (kernels/contract/cells.h), which is
/// the last gate's b_hh.
struct Parameter {
  std::string name;  // PyTorch's
  std::vector<std::int64_t> shape;
  Initializer initializer = Initializer::kMatrix;
  std::int64_t fan_in = 1;  // PyTorch's: U(-1/sqrt(fan_in), 1/sqrt(fan_in)), H for all of a recurrent layer
  std::int64_t offset = 0;
  std::int64_t size = 0;
};

/// Of a parameter in its layout.
using ParameterId = std::size_t;

/// What PyTorch's names of a direction's parameters end with: "_l0", "_l0_reverse".
std::string direction_suffix(std::int64_t layer, bool reverse);

/// A model's parameters in the order of the flat buffer: the embedding table first, then the dense ones, layer by layer
/// and the head's.
struct ParameterLayout {
  /// Of a layer; its input has E numbers, or D*H of the layer below.
  struct Direction {
    ParameterId w_ih, w_hh, bias;       // [G*H, input], [G*H, H], [G*H]
    std::optional<ParameterId> b_hh{};  // [H] of cells with a recurrent bias
  };

  explicit ParameterLayout(const ModelConfig& config);

  std::vector<Parameter> parameters;
  ParameterId embedding;                       // [V, E]
  std::vector<std::vector<Direction>> layers;  // each one's directions
  ParameterId fc_weight, fc_bias;              // [C, P], [C]
  std::int64_t size = 0;                       // of all

 private:
  ParameterId add(std::string name, std::vector<std::int64_t> shape, Initializer initializer, std::int64_t fan_in);
};

std::int64_t parameter_count(const ModelConfig& config);  // 1,313,025 for the tutorial's model

/// `parameter` in a buffer of all.
template <class T>
std::span<T> part_of(std::span<T> all, const Parameter& parameter) {
  return all.subspan(static_cast<std::size_t>(parameter.offset), static_cast<std::size_t>(parameter.size));
}

enum class Init { kKeras, kTorch };

struct Initialisation {
  Init init = Init::kKeras;
  bool orthogonal = true;  // the recurrent weights
  std::uint64_t seed = 0;
};

/// Fills the flat buffer. Keras: embedding U(-0.05, 0.05), Glorot-uniform matrices, zero biases but for an LSTM's
/// forget gate, which begins with 1. PyTorch: embedding N(0, 1), everything else U(-1/sqrt(fan_in), 1/sqrt(fan_in)),
/// a joined bias the sum of two such draws. Orthogonal recurrent weights are Q . sign(diag R) of a normal matrix [G*H,
/// H]. Numbers are addressed by (seed, parameter): the same on every device.
template <class Real>
void initialise(const ModelConfig& config, const Initialisation& how, std::span<Real> parameters);

}  // namespace reel
