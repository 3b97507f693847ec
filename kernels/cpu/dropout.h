// Dropout: which elements stay, and by what those are divided.
#pragma once

#include <span>

#include "kernels/cpu/uniform_sequence.h"

namespace reel::cpu {

/// 1 / (1 - rate) or 0: what an element is multiplied by whose random number `uniform` is.
template <class Real>
Real dropout_factor(float rate, float uniform) {
  return uniform >= rate ? Real{1} / (Real{1} - static_cast<Real>(rate)) : Real{0};
}

/// Of row[j] it is random_uniform(key, first + j).
template <class Real>
void apply_dropout(float rate, const RandomKey& key, std::size_t first, std::span<Real> row) {
  if (rate <= 0) return;
  UniformSequence uniform(key);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] *= dropout_factor<Real>(rate, uniform.at(first + j));
}

}  // namespace reel::cpu
