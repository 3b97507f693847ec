#include "kernels/philox.h"

#include <gtest/gtest.h>

#include <set>

#include "kernels/cpu/uniform_sequence.h"

namespace reel {
namespace {

// Known answers published with Random123 (kat_vectors, philox4x32-10).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, 0, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32({ones, ones, ones, ones}, ones, ones),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, SeedStreamStepAndPositionAllMatter) {
  std::set<std::uint32_t> seen;
  const RandomKey key{.seed = 1, .stream = RandomStream::kShuffle, .step = 1};
  seen.insert(random_bits(key, 0));
  seen.insert(random_bits(key, 1));
  seen.insert(random_bits(key, 4));
  seen.insert(random_bits(key, std::uint64_t{1} << 40));
  seen.insert(random_bits({.seed = 2, .stream = key.stream, .step = 1}, 0));
  seen.insert(random_bits({.seed = std::uint64_t{1} << 32, .stream = key.stream, .step = 1}, 0));
  seen.insert(random_bits({.seed = 1, .stream = RandomStream::kDropout, .step = 1}, 0));
  seen.insert(random_bits({.seed = 1, .stream = key.stream, .step = 2}, 0));
  EXPECT_EQ(seen.size(), 8u);
}

TEST(Philox, UniformStaysInRangeWithMeanOneHalf) {
  const RandomKey key{.seed = 5};
  double sum = 0;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const float u = random_uniform(key, i);
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    sum += static_cast<double>(u);
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
}

TEST(Philox, SequenceEqualsAddressedNumbers) {
  const RandomKey key{.seed = 9, .stream = RandomStream::kWordDropout, .step = 4};
  cpu::UniformSequence sequence(key);
  for (const std::uint64_t position : {0u, 1u, 2u, 3u, 4u, 9u, 8u, 1000u, 3u}) {
    EXPECT_EQ(sequence.at(position), random_uniform(key, position)) << position;
  }
}

}  // namespace
}  // namespace reel
