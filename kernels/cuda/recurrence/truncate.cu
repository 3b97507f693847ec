// Truncated back-propagation: gradients of steps too far from a row's end become 0, which is what they are where they
// stop there. A block for each step of a row, a thread for each column.
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/recurrence/strategies.h"

namespace reel::cuda {
namespace {

struct TruncateArgs {
  const std::int32_t* lengths;   // [B]
  float *d_input, *d_recurrent;  // [T, B, width]; they may be one
  int batch, width, bptt;        // a row is G*H numbers, or half as many of those pairs
};

__global__ void truncate_kernel(TruncateArgs args) {
  const auto position = static_cast<int>(blockIdx.x);
  if (position / args.batch >= args.lengths[position % args.batch] - args.bptt) return;
  const std::size_t row = static_cast<std::size_t>(position) * args.width;
  for (int j = static_cast<int>(threadIdx.x); j < args.width; j += static_cast<int>(blockDim.x)) {
    args.d_input[row + j] = args.d_recurrent[row + j] = 0;
  }
}

}  // namespace

void truncate(CudaContext& context, const RecurrenceBackward<float>& op) {
  if (op.bptt == 0) return;
  launch(truncate_kernel, per_block(context, op.shape.steps * op.shape.batch, 128),
         {op.lengths.data(), op.d_input.data(), op.recurrent_gradient().data(), static_cast<int>(op.shape.batch),
          static_cast<int>(traits(op.cell).gates * op.shape.hidden / (op.packed ? 2 : 1)), static_cast<int>(op.bptt)});
}

}  // namespace reel::cuda
