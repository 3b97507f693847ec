#include "kernels/cuda/cub.h"

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

namespace reel::cuda {

cudaError_t sort_pairs(void* memory, std::size_t& bytes, const SortPairs& args, cudaStream_t stream) {
  return cub::DeviceRadixSort::SortPairs(memory, bytes, args.keys, args.sorted_keys, args.values, args.sorted_values,
                                         static_cast<int>(args.count), 0, args.bits, stream);
}

cudaError_t inclusive_sum(void* memory, std::size_t& bytes, const InclusiveSum& args, cudaStream_t stream) {
  return cub::DeviceScan::InclusiveSum(memory, bytes, args.values, args.sums, static_cast<int>(args.count), stream);
}

}  // namespace reel::cuda
