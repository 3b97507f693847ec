// Philox 4x32-10, the counter-based random generator of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3"
// (SC 2011). A number is addressed, not drawn: (seed, stream, step, position) names it, so that CPU and GPU, and a
// resumed and an uninterrupted run, see the same numbers in any order.
#pragma once

#include <array>
#include <cstdint>

#if defined(__CUDACC__)
#define REEL_HOST_DEVICE __host__ __device__
#else
#define REEL_HOST_DEVICE
#endif

namespace reel {

/// What a random number is for. Streams never overlap.
enum class RandomStream : std::uint32_t {
  kInitialisation = 1,
  kShuffle = 2,
  kWordDropout = 3,
  kDropout = 4,
  kGeneratedReviews = 5,
  kCorpusShuffle = 6,
  kLayerDropout = 7,
  kEmbeddingDropout = 8,
};

/// Names a sequence of random numbers, one for each position.
struct RandomKey {
  std::uint64_t seed = 0;
  RandomStream stream = RandomStream::kInitialisation;
  std::uint64_t step = 0;  // below 2^32; the training step, the epoch or the number of the tensor
};

using PhiloxBlock = std::array<std::uint32_t, 4>;

/// Ten rounds over one counter.
REEL_HOST_DEVICE constexpr PhiloxBlock philox4x32(PhiloxBlock counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// The four numbers at positions 4 * block to 4 * block + 3.
REEL_HOST_DEVICE constexpr PhiloxBlock random_block(const RandomKey& key, std::uint64_t block) {
  const PhiloxBlock counter = {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                               static_cast<std::uint32_t>(key.step), static_cast<std::uint32_t>(key.stream)};
  return philox4x32(counter, static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32));
}

/// The 32 random bits at `position` of the sequence that `key` names.
REEL_HOST_DEVICE constexpr std::uint32_t random_bits(const RandomKey& key, std::uint64_t position) {
  return random_block(key, position / 4)[position % 4];
}

/// Bits as a number in [0, 1), a multiple of 2^-24: exact in float.
REEL_HOST_DEVICE constexpr float to_uniform(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

REEL_HOST_DEVICE constexpr float random_uniform(const RandomKey& key, std::uint64_t position) {
  return to_uniform(random_bits(key, position));
}

}  // namespace reel
