// Random numbers at consecutive positions, four from each Philox block.
#pragma once

#include "kernels/philox.h"

namespace reel::cpu {

/// at(p) equals random_uniform(key, p); cheap while p ascends.
class UniformSequence {
 public:
  explicit UniformSequence(const RandomKey& key) : key_(key) {}

  float at(std::uint64_t position) {
    if (position / 4 != block_) {
      block_ = position / 4;
      bits_ = random_block(key_, block_);
    }
    return to_uniform(bits_[position % 4]);
  }

 private:
  RandomKey key_;
  std::uint64_t block_ = ~std::uint64_t{0};
  PhiloxBlock bits_{};
};

}  // namespace reel::cpu
