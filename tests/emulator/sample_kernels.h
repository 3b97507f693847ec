// Small kernels with mistakes, for emulator_test.cpp.
#pragma once

namespace reel::cuda {

enum class Mistake {
  kNone,
  kNoBarrier,         // between writing shared memory and reading it
  kNoWait,            // for cp.async
  kExitedLane,        // a lane of the shuffle's mask has ended
  kDivergentShuffle,  // two sites of one warp
  kDivergentBarrier,  // two sites of one block
  kEarlyExit,         // a thread ends while others wait at a barrier
  kDeadlock,          // a warp waits for lanes that wait at a barrier
  kUninitialised,     // shared memory is read before it is written
  kOutOfBounds,       // of a shared variable
  kBlocksRace,        // two blocks add to the same number
};

/// out [2, 64]: each block's in [64], reversed; with kBlocksRace, out[0] counts threads.
void reverse(Mistake mistake, const float* in, float* out);

enum class ClusterMistake {
  kNone,
  kNoFirstBarrier,     // before the first write to another block
  kNoBarrier,          // between writing and reading
  kNoLastBarrier,      // a block may end while others still write to it
  kEarlyExit,          // a block ends while others wait
  kWritesToTheEnded,   // block 1 writes to block 2, and nobody waits
  kNoArrival,          // wait without arrive
  kArrivesTwice,       // without waiting
  kNoWait,             // arrive without wait, then the end
  kDivergent,          // two sites of one cluster
  kDeadlock,           // half a block waits for the cluster, half for the block
  kWritesBetween,      // arrive and wait, what others read
  kBeyondTheCluster,   // a block that does not exist
  kBeyondSharedMemory  // no block's shared memory
};

/// Two clusters of four blocks: out [2, 4, 32] are in [4, 32], passed on to the next block and to the one after it.
void pass_on(ClusterMistake mistake, const float* in, float* out);

enum class ExchangeMistake {
  kNone,
  kNoInit,            // of the barriers
  kNoFirstBarrier,    // of the cluster, after that
  kOneBarrier,        // for both buffers: counts what the next step brings
  kOneBuffer,         // overwritten while others read it
  kNoWait,            // before reading
  kOneThreadWaits,    // of a block's, for some phases
  kNoExpectation,     // but in the first two steps
  kExpectsTwice,      // in a phase
  kExpectsLess,       // than comes
  kExpectsMore,       //
  kBarrierElsewhere,  // in another block than what is stored
  kNoLastBarrier,     // a block may end while others still wait for it
  kNoLastWait         // for what the last step brings
};

/// A cluster of four blocks adds up in [4, 32] in six steps, each of which replaces every element by the sum of itself
/// and the one 37 further: out [4, 32].
void exchange(ExchangeMistake mistake, const float* in, float* out);

}  // namespace reel::cuda
