// What devices of a compute capability can do.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "tests/cuda_runtime/runtime.h"

namespace reel::runtime {

constexpr int kThreadsPerBlock = 1024, kRegistersPerBlock = 65536, kLargestCluster = 8;
constexpr std::size_t kSharedMemoryWithoutAsking = 48 * 1024;

std::size_t shared_memory_per_block(const Device& device);  // bytes that a kernel may ask for
bool has_clusters(const Device& device);
/// cudaSuccess, or why there is none.
cudaError_t missing_device(const Device& device);

}  // namespace reel::runtime
