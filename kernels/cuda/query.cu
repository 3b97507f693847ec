#include <cuda_runtime_api.h>

#include "kernels/cuda/query.h"

namespace reel {

std::string describe_cuda_device() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return std::string("none: ") + cudaGetErrorString(error);
  if (count == 0) return "none: no device";
  cudaDeviceProp device{};
  cudaGetDeviceProperties(&device, 0);
  return std::string(device.name) + ", compute capability " + std::to_string(device.major) + "." +
         std::to_string(device.minor) + ", " + std::to_string(device.totalGlobalMem >> 30) + " GiB";
}

}  // namespace reel
