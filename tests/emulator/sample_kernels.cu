#include "tests/emulator/sample_kernels.h"

#include <cuda_ptx.h>

namespace reel::cuda {
namespace {

template <class Args>
void launch(void (*kernel)(Args), const emulator::LaunchConfig& config, const std::type_identity_t<Args>& args) {
  emulator::launch(config, {reinterpret_cast<const void*>(kernel), &args, sizeof args}, [&] { kernel(args); });
}

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

namespace {

constexpr unsigned kBlocks = 4;

/// Every block gives the next one its values.
void give(float* values, int i, float value) {
  store_to_cluster(map_to_block(values + i, (cluster_rank() + 1) % kBlocks), value);
}

void cluster_barrier() {
  cluster_arrive();
  cluster_wait();
}

template <ClusterMistake kMistake>
__global__ void pass_on_kernel(ReverseArgs args) {
  using enum ClusterMistake;
  REEL_SHARED(float[32], first);
  REEL_DYNAMIC_SHARED(float, second);
  const int i = static_cast<int>(threadIdx.x);
  const unsigned rank = cluster_rank();
  if (kMistake == kNoArrival) cluster_wait();
  if (kMistake != kNoFirstBarrier) cluster_barrier();
  if (kMistake == kEarlyExit && rank == 3) return;
  if (kMistake == kWritesToTheEnded) {
    if (rank == 1) give(first, i, 0);
    return;
  }
  if (kMistake == kBeyondTheCluster) map_to_block(first, kBlocks);
  if (kMistake == kBeyondSharedMemory) store_to_cluster(reinterpret_cast<ClusterAddress>(args.out), 0);
  if (kMistake == kWritesBetween) cluster_arrive();
  give(first, i, args.in[rank * 32 + static_cast<unsigned>(i)]);
  if (kMistake == kArrivesTwice) cluster_arrive();
  if (kMistake == kDivergent && rank == 1) {
    cluster_arrive();
    cluster_wait();
  } else if (kMistake == kDeadlock && i < 16) {
    __syncthreads();
  } else if (kMistake == kWritesBetween) {
    cluster_wait();
  } else if (kMistake != kNoBarrier) {
    cluster_barrier();
  }
  give(second, i, first[31 - i]);
  if (kMistake != kNoLastBarrier) cluster_barrier();
  args.out[blockIdx.x * 32 + static_cast<unsigned>(i)] = second[31 - i];
  if (kMistake == kNoWait) cluster_arrive();
}

template <ClusterMistake kMistake>
void run_cluster(const float* in, float* out) {
  launch(pass_on_kernel<kMistake>,
         {.grid = dim3(2 * kBlocks), .block = dim3(32), .shared = 32 * sizeof(float), .cluster = kBlocks}, {in, out});
}

}  // namespace

void pass_on(ClusterMistake mistake, const float* in, float* out) {
  using enum ClusterMistake;
  switch (mistake) {
    case kNone:
      return run_cluster<kNone>(in, out);
    case kNoFirstBarrier:
      return run_cluster<kNoFirstBarrier>(in, out);
    case kNoBarrier:
      return run_cluster<kNoBarrier>(in, out);
    case kNoLastBarrier:
      return run_cluster<kNoLastBarrier>(in, out);
    case kEarlyExit:
      return run_cluster<kEarlyExit>(in, out);
    case kWritesToTheEnded:
      return run_cluster<kWritesToTheEnded>(in, out);
    case kNoArrival:
      return run_cluster<kNoArrival>(in, out);
    case kArrivesTwice:
      return run_cluster<kArrivesTwice>(in, out);
    case kNoWait:
      return run_cluster<kNoWait>(in, out);
    case kDivergent:
      return run_cluster<kDivergent>(in, out);
    case kDeadlock:
      return run_cluster<kDeadlock>(in, out);
    case kWritesBetween:
      return run_cluster<kWritesBetween>(in, out);
    case kBeyondTheCluster:
      return run_cluster<kBeyondTheCluster>(in, out);
    case kBeyondSharedMemory:
      return run_cluster<kBeyondSharedMemory>(in, out);
  }
}

}  // namespace reel::cuda
