// Small kernels with mistakes, for emulator_test.cpp.
#pragma once

namespace reel::cuda_emulated {

enum class Mistake {
  kNone,
  kNoBarrier,         // between writing shared memory and reading it
  kNoWait,            // for cp.async
  kExitedLane,        // a lane of the shuffle's mask has ended
  kDivergentShuffle,  // two places of one warp
  kDivergentBarrier,  // two places of one block
  kEarlyExit,         // a thread ends while others wait at a barrier
  kDeadlock,          // a warp waits for lanes that wait at a barrier
  kUninitialised,     // shared memory is read before it is written
  kOutOfBounds,       // of a shared variable
  kBlocksRace,        // two blocks add to the same number
};

/// out [2, 64]: each block's in [64], reversed; with kBlocksRace, out[0] counts threads.
void reverse(Mistake mistake, const float* in, float* out);

}  // namespace reel::cuda_emulated
