#include "tests/emulator/arrival_samples.h"

#include "kernels/cuda/reduce.cuh"

namespace reel::cuda {
namespace {

struct AddBlocksArgs {
  const float* in;
  std::uint32_t* arrived;
  float* partial;
  float* out;
};

/// is_last_block() with a mistake.
template <ArrivalMistake kMistake>
__device__ bool comes_last(std::uint32_t* arrived, unsigned blocks) {
  REEL_SHARED(bool, last);
  if (kMistake != ArrivalMistake::kNoBarrier) __syncthreads();
  if (threadIdx.x == 0) {
    const std::uint32_t before =
        kMistake == ArrivalMistake::kPlainCounter ? (*arrived)++ : count_arrival(arrived, blocks - 1);
    last = before == blocks - 1;
  }
  __syncthreads();
  return last;
}

template <ArrivalMistake kMistake>
__global__ void add_blocks_kernel(AddBlocksArgs args) {
  const unsigned thread = threadIdx.x, block = blockIdx.x, blocks = gridDim.x;
  args.partial[block * 64 + thread] = args.in[block * 64 + thread];
  const bool last = kMistake == ArrivalMistake::kNone ? is_last_block(args.arrived, blocks)
                                                      : comes_last<kMistake>(args.arrived, blocks);
  if (last) args.out[63 - thread] = add_in_order(0, args.partial + 63 - thread, 64, blocks);
}

template <ArrivalMistake kMistake>
void run(unsigned blocks, const AddBlocksArgs& args) {
  emulator::launch({.grid = dim3(blocks), .block = dim3(64)},
                   {reinterpret_cast<const void*>(&add_blocks_kernel<kMistake>), &args, sizeof args},
                   [&] { add_blocks_kernel<kMistake>(args); });
}

}  // namespace

void add_blocks(ArrivalMistake mistake, unsigned blocks, const float* in, std::uint32_t* arrived, float* partial,
                float* out) {
  const AddBlocksArgs args{in, arrived, partial, out};
  switch (mistake) {
    case ArrivalMistake::kNone:
      return run<ArrivalMistake::kNone>(blocks, args);
    case ArrivalMistake::kNoBarrier:
      return run<ArrivalMistake::kNoBarrier>(blocks, args);
    case ArrivalMistake::kPlainCounter:
      return run<ArrivalMistake::kPlainCounter>(blocks, args);
  }
}

}  // namespace reel::cuda
