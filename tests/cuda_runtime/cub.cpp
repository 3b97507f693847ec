// CUB's algorithms, by the C++ library's.
#include "kernels/cuda/cub.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "tests/cuda_runtime/libraries.h"

namespace reel::cuda {
namespace {

constexpr std::size_t kMemory = 1000;  // more than nothing, less than anything

/// Fills the memory that it was given with NaN, as work that uses it would.
template <class Algorithm>
cudaError_t run(void* memory, std::size_t& bytes, cudaStream_t stream, const char* name, const Algorithm& algorithm) {
  if (memory == nullptr) {
    bytes = kMemory;
    return cudaSuccess;
  }
  if (bytes < kMemory) return cudaErrorInvalidValue;
  return runtime::launch_library(stream, name, [memory, algorithm] {
    std::memset(memory, 0xFF, kMemory);
    algorithm();
  });
}

}  // namespace

cudaError_t sort_pairs(void* memory, std::size_t& bytes, const SortPairs& args, cudaStream_t stream) {
  return run(memory, bytes, stream, "CUB sort", [args] {
    const std::uint32_t mask = (std::uint32_t{1} << args.bits) - 1;
    std::vector<std::int64_t> order(static_cast<std::size_t>(args.count));
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, {},
                             [&](std::int64_t i) { return static_cast<std::uint32_t>(args.keys[i]) & mask; });
    for (std::int64_t i = 0; i < args.count; ++i) {
      args.sorted_keys[i] = args.keys[order[static_cast<std::size_t>(i)]];
      args.sorted_values[i] = args.values[order[static_cast<std::size_t>(i)]];
    }
  });
}

cudaError_t inclusive_sum(void* memory, std::size_t& bytes, const InclusiveSum& args, cudaStream_t stream) {
  return run(memory, bytes, stream, "CUB sum",
             [args] { std::inclusive_scan(args.values, args.values + args.count, args.sums); });
}

}  // namespace reel::cuda
