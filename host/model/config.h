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
using Words = std::vector<std::pair<std::string, Value>>;

inline Words<Cell> cell_words() {
  Words<Cell> words;
  for (const CellTraits& traits : kCells) words.emplace_back(traits.name, traits.cell);
  return words;
}
inline Words<Pool> pool_words() { return {{"last", Pool::kLast}, {"mean", Pool::kMean}}; }

}  // namespace reel
