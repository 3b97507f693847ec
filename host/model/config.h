// What a model is made of.
#pragma once

#include <cstdint>

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

}  // namespace reel
