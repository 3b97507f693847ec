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

namespace {

template <ExchangeMistake kMistake>
__global__ void exchange_kernel(ReverseArgs args) {
  using enum ExchangeMistake;
  constexpr int kSteps = 6, kWidth = static_cast<int>(kBlocks) * 32;
  constexpr int kBytes = kWidth * static_cast<int>(sizeof(float));
  REEL_SHARED(float[2][kWidth], values);
  REEL_SHARED(TransactionBarrier[2], arrived);
  const int me = static_cast<int>(cluster_rank() * 32 + threadIdx.x);
  const auto expect = [&](int buffer) {
    expect_bytes(opaque_address(&arrived[buffer]), kBytes + (kMistake == kExpectsLess   ? -4
                                                             : kMistake == kExpectsMore ? 4
                                                                                        : 0));
  };
  if (threadIdx.x == 0 && kMistake != kNoInit) {
    for (int buffer = 0; buffer < 2; ++buffer) {
      init_barrier(arrived[buffer]);
      expect(buffer);
    }
    if (kMistake == kExpectsTwice) expect(0);
  }
  for (int i = static_cast<int>(threadIdx.x); i < kWidth; i += 32) values[0][i] = args.in[i];
  if (kMistake == kNoFirstBarrier) {
    __syncthreads();
  } else {
    cluster_barrier();
  }
  for (int t = 0; t < kSteps; ++t) {
    const int read = kMistake == kOneBuffer ? 0 : t % 2, filled = kMistake == kOneBuffer ? 0 : 1 - t % 2;
    const int counted = kMistake == kOneBarrier ? 0 : 1 - t % 2;
    const float sum = values[read][me] + values[read][(me + 37) % kWidth];
    if (kMistake != kOneThreadWaits) __syncwarp();
    for (unsigned block = 0; block < kBlocks; ++block) {
      const unsigned elsewhere = kMistake == kBarrierElsewhere ? (block + 1) % kBlocks : block;
      store_async(map_to_block(&values[filled][me], block), sum, map_to_block(&arrived[counted], elsewhere));
    }
    if (kMistake == kNoWait || (kMistake == kNoLastWait && t == kSteps - 1)) continue;
    if (kMistake == kOneThreadWaits && t % 4 == 1 && threadIdx.x > 0) continue;
    const unsigned parity = static_cast<unsigned>(kMistake == kOneBarrier ? t : t / 2) % 2;
    wait_for_bytes(opaque_address(&arrived[counted]), parity);
    if (threadIdx.x == 0 && kMistake != kNoExpectation) expect(counted);
  }
  args.out[me] = values[kMistake == kOneBuffer ? 0 : kSteps % 2][me];
  if (kMistake != kNoLastBarrier) cluster_barrier();
}

template <ExchangeMistake kMistake>
void run_exchange(const float* in, float* out) {
  launch(exchange_kernel<kMistake>, {.grid = dim3(kBlocks), .block = dim3(32), .cluster = kBlocks}, {in, out});
}

}  // namespace

void exchange(ExchangeMistake mistake, const float* in, float* out) {
  using enum ExchangeMistake;
  switch (mistake) {
    case kNone:
      return run_exchange<kNone>(in, out);
    case kNoInit:
      return run_exchange<kNoInit>(in, out);
    case kNoFirstBarrier:
      return run_exchange<kNoFirstBarrier>(in, out);
    case kOneBarrier:
      return run_exchange<kOneBarrier>(in, out);
    case kOneBuffer:
      return run_exchange<kOneBuffer>(in, out);
    case kNoWait:
      return run_exchange<kNoWait>(in, out);
    case kOneThreadWaits:
      return run_exchange<kOneThreadWaits>(in, out);
    case kNoExpectation:
      return run_exchange<kNoExpectation>(in, out);
    case kExpectsTwice:
      return run_exchange<kExpectsTwice>(in, out);
    case kExpectsLess:
      return run_exchange<kExpectsLess>(in, out);
    case kExpectsMore:
      return run_exchange<kExpectsMore>(in, out);
    case kBarrierElsewhere:
      return run_exchange<kBarrierElsewhere>(in, out);
    case kNoLastBarrier:
      return run_exchange<kNoLastBarrier>(in, out);
    case kNoLastWait:
      return run_exchange<kNoLastWait>(in, out);
  }
}

}  // namespace reel::cuda
