#include "tests/cuda_runtime/sample_kernels.h"

namespace reel::runtime {
namespace {

__global__ void fill_kernel(FillArgs args) {
  const auto i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < args.count) args.values[i] = args.value;
}

__global__ void increase_kernel(FillArgs args) {
  const auto i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < args.count) args.values[i] += args.value;
}

}  // namespace

void fill(const FillArgs& args, const cuda::Launch& launch) { cuda::launch(fill_kernel, launch, args); }
void fill(const FillArgs& args, cudaStream_t stream) { fill(args, {.block = dim3(32), .stream = stream}); }
void increase(const FillArgs& args, cudaStream_t stream) {
  cuda::launch(increase_kernel, {.block = dim3(32), .stream = stream}, args);
}
const void* fill_handle() { return cuda::kernel_handle(fill_kernel); }
int fill_clusters(const cuda::Launch& launch) { return cuda::max_active_clusters(fill_kernel, launch); }

}  // namespace reel::runtime
