// CUB's algorithms, by the C++ library's.
#include "kernels/cuda/cub.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <numeric>
#include <vector>

#include "tests/cuda_runtime/libraries.h"

namespace reel::cuda {
namespace {

/// Asks for memory by the count, and fills it with NaN, as work that uses it would. `arrays` are of the device.
template <class Algorithm>
cudaError_t run(void* memory, std::size_t& bytes, std::int64_t count, std::initializer_list<const void*> arrays,
                cudaStream_t stream, const char* name, const Algorithm& algorithm) {
  const std::size_t array = sizeof(std::int32_t) * static_cast<std::size_t>(count), needed = 1000 + array;
  if (memory == nullptr) {
    bytes = needed;
    return cudaSuccess;
  }
  bool good = bytes >= needed && runtime::is_device_memory(name, memory, needed);
  for (const void* address : arrays) good = good && runtime::is_device_memory(name, address, array);
  if (!good) return cudaErrorInvalidValue;
  return runtime::launch_library(stream, name, [memory, needed, algorithm] {
    std::memset(memory, 0xFF, needed);
    algorithm();
  });
}

}  // namespace

cudaError_t sort_pairs(void* memory, std::size_t& bytes, const SortPairs& args, cudaStream_t stream) {
  const auto arrays = {static_cast<const void*>(args.keys), static_cast<const void*>(args.sorted_keys),
                       static_cast<const void*>(args.values), static_cast<const void*>(args.sorted_values)};
  return run(memory, bytes, args.count, arrays, stream, "CUB sort", [args] {
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
  return run(memory, bytes, args.count, {args.values, args.sums}, stream, "CUB sum",
             [args] { std::inclusive_scan(args.values, args.values + args.count, args.sums); });
}

}  // namespace reel::cuda
