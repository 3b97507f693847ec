// What a model is made of.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/contract/cells.h"
#include "kernels/contract/head.h"

namespace reel {

/// Embedding(V, E) -> a recurrent layer of H units -> pooling -> Dense(1).
struct ModelConfig {
  std::int64_t vocabulary = 10000;  // V
  std::int64_t embedding = 128;     // E
  std::int64_t hidden = 128;        // H
  Cell cell = Cell::kTanh;
  Pool pool = Pool::kLast;
};

/// What values are called in flags and files.
template <class Value>
using Names = std::vector<std::pair<std::string, Value>>;

inline Names<Cell> cell_names() {
  Names<Cell> names;
  for (const CellTraits& traits : kCells) names.emplace_back(traits.name, traits.cell);
  return names;
}
constexpr const char* name_of(Pool pool) { return pool == Pool::kLast ? "last" : "mean"; }
inline Names<Pool> pool_names() { return {{name_of(Pool::kLast), Pool::kLast}, {name_of(Pool::kMean), Pool::kMean}}; }

}  // namespace reel
