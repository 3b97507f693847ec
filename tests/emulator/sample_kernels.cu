#include "tests/emulator/sample_kernels.h"

#include "kernels/cuda/ptx.cuh"

namespace reel::REEL_CUDA_BUILD {
namespace {

struct ReverseArgs {
  const float* in;
  float* out;
};

template <Mistake kMistake>
__global__ void reverse_kernel(ReverseArgs args) {
  REEL_SHARED(float[64], values);
  const int i = static_cast<int>(threadIdx.x), block = static_cast<int>(blockIdx.x);
  if (kMistake == Mistake::kBlocksRace) {
    args.out[0] += 1;
    return;
  }
  if (kMistake == Mistake::kEarlyExit && i == 5) return;
  if (kMistake == Mistake::kExitedLane) {
    if (i == 7) return;
    args.out[block * 64 + i] = __shfl_xor_sync(0xFFFFFFFFu, args.in[i], 1);
  }
  if (kMistake == Mistake::kDivergentShuffle) {
    if (i % 32 < 16) {
      args.out[i] = __shfl_xor_sync(0xFFFFFFFFu, args.in[i], 1);
    } else {
      args.out[i] = __shfl_xor_sync(0xFFFFFFFFu, args.in[i], 2);
    }
  }
  if (kMistake == Mistake::kDeadlock) {
    if (i % 32 < 16) {
      __syncthreads();
    } else {
      __syncwarp();
    }
  }
  if (kMistake != Mistake::kUninitialised) {
    cp_async_4(&values[kMistake == Mistake::kOutOfBounds ? i + 1 : i], args.in + i);
    cp_async_commit();
    if (kMistake != Mistake::kNoWait) cp_async_wait<0>();
  }
  if (kMistake == Mistake::kDivergentBarrier) {
    if (i < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  } else if (kMistake != Mistake::kNoBarrier) {
    __syncthreads();
  }
  args.out[block * 64 + i] = values[63 - i];
  if (kMistake == Mistake::kNoWait) cp_async_wait<0>();
}

template <Mistake kMistake>
void run(const float* in, float* out) {
  launch(reverse_kernel<kMistake>, {.grid = dim3(2), .block = dim3(64)}, {in, out});
}

}  // namespace

void reverse(Mistake mistake, const float* in, float* out) {
  switch (mistake) {
    case Mistake::kNone:
      return run<Mistake::kNone>(in, out);
    case Mistake::kNoBarrier:
      return run<Mistake::kNoBarrier>(in, out);
    case Mistake::kNoWait:
      return run<Mistake::kNoWait>(in, out);
    case Mistake::kExitedLane:
      return run<Mistake::kExitedLane>(in, out);
    case Mistake::kDivergentShuffle:
      return run<Mistake::kDivergentShuffle>(in, out);
    case Mistake::kDivergentBarrier:
      return run<Mistake::kDivergentBarrier>(in, out);
    case Mistake::kEarlyExit:
      return run<Mistake::kEarlyExit>(in, out);
    case Mistake::kDeadlock:
      return run<Mistake::kDeadlock>(in, out);
    case Mistake::kUninitialised:
      return run<Mistake::kUninitialised>(in, out);
    case Mistake::kOutOfBounds:
      return run<Mistake::kOutOfBounds>(in, out);
    case Mistake::kBlocksRace:
      return run<Mistake::kBlocksRace>(in, out);
  }
}

}  // namespace reel::REEL_CUDA_BUILD
