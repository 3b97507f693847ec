// The algorithms of CUB that Reel uses, in a file of their own because only nvcc compiles CUB. As CUB has it: with no
// `memory` each says in `bytes` how much it needs; and each returns whatever error the runtime remembers, also one of a
// call before it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace reel::cuda {

/// Sorts pairs by the lowest `bits` bits of their keys, keeping the order of equal ones.
struct SortPairs {
  const std::int32_t* keys;     // [count]
  std::int32_t* sorted_keys;    // [count]
  const std::int32_t* values;   // [count]
  std::int32_t* sorted_values;  // [count]
  std::int64_t count;
  int bits;
};
cudaError_t sort_pairs(void* memory, std::size_t& bytes, const SortPairs& args, cudaStream_t stream);

/// sums[i] = values[0] + ... + values[i].
struct InclusiveSum {
  const std::int32_t* values;  // [count]
  std::int32_t* sums;          // [count]
  std::int64_t count;
};
cudaError_t inclusive_sum(void* memory, std::size_t& bytes, const InclusiveSum& args, cudaStream_t stream);

}  // namespace reel::cuda
