// Blocks of which the last one adds up, with mistakes, for emulator_test.cpp.
#pragma once

#include <cstdint>

namespace reel::cuda {

enum class ArrivalMistake {
  kNone,
  kNoBarrier,    // between what the threads of a block write and its arrival
  kPlainCounter  // counted, but not atomically
};

/// out [64]: the sums over the blocks of in [blocks, 64]. `arrived` [1] is 0 before and after it, `partial` [blocks,
/// 64] scratch.
void add_blocks(ArrivalMistake mistake, unsigned blocks, const float* in, std::uint32_t* arrived, float* partial,
                float* out);

}  // namespace reel::cuda
