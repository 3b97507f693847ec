// The emulator finds what it is there to find: small kernels with mistakes, in every schedule.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/emulator/arrival_samples.h"
#include "tests/emulator/sample_kernels.h"
#include "tests/emulator/scheduler.h"

#if defined(__SANITIZE_THREAD__)
// Races are what some of these tests are about; launch() throws for each.
extern "C" const char* __tsan_default_options() { return "exitcode=0"; }
#endif

namespace reel::emulator {
namespace {

using cuda::ArrivalMistake;
using cuda::ClusterMistake;
using cuda::ExchangeMistake;
using cuda::Mistake;
using testing::ContainsRegex;
using testing::HasSubstr;

struct Outcome {
  std::string error;
  std::vector<float> values = std::vector<float>(128, -1);
};

Outcome reverse(Mistake mistake) {
  std::vector<float> in(64);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
  Outcome outcome;
  try {
    cuda::reverse(mistake, in.data(), outcome.values.data());
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  return outcome;
}

bool is_reversed(const Outcome& outcome) {
  for (std::size_t i = 0; i < 128; ++i) {
    if (outcome.values[i] != static_cast<float>(63 - i % 64)) return false;
  }
  return true;
}

Outcome pass_on(ClusterMistake mistake) {
  std::vector<float> in(128);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
  Outcome outcome{.values = std::vector<float>(256, -1)};
  try {
    cuda::pass_on(mistake, in.data(), outcome.values.data());
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  return outcome;
}

/// Block r has the values of block r - 2.
bool is_passed_on(const Outcome& outcome) {
  for (std::size_t i = 0; i < 256; ++i) {
    if (outcome.values[i] != static_cast<float>((i + 64) % 128)) return false;
  }
  return true;
}

Outcome exchange(ExchangeMistake mistake) {
  std::vector<float> in(128);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
  Outcome outcome;
  try {
    cuda::exchange(mistake, in.data(), outcome.values.data());
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  return outcome;
}

constexpr unsigned kBlocks = 5;

/// The sums of five blocks, whose thread i has i each, twice with the same counter.
Outcome add_blocks(ArrivalMistake mistake) {
  std::vector<float> in(kBlocks * 64), partial(in.size(), -1);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i % 64);
  std::uint32_t arrived = 0;
  Outcome outcome;
  try {
    for (std::size_t round = 0; round < 2; ++round) {
      cuda::add_blocks(mistake, kBlocks, in.data(), &arrived, partial.data(), outcome.values.data() + 64 * round);
    }
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  return outcome;
}

bool is_exchanged(const Outcome& outcome) {
  std::vector<float> values(128), sums(128);
  for (std::size_t i = 0; i < 128; ++i) values[i] = static_cast<float>(i);
  for (int t = 0; t < 6; ++t) {
    for (std::size_t i = 0; i < 128; ++i) sums[i] = values[i] + values[(i + 37) % 128];
    values = sums;
  }
  return outcome.values == values;
}

/// Forward, reverse, and three random schedules.
class Emulator : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const int i = GetParam();
    options() = {.order = i == 0   ? Order::kForward
                          : i == 1 ? Order::kReverse
                                   : Order::kRandom,
                 .seed = static_cast<std::uint64_t>(i)};
  }
  void TearDown() override { options() = {}; }
};
INSTANTIATE_TEST_SUITE_P(Schedules, Emulator, testing::Range(0, 5));

TEST_P(Emulator, RunsAKernelWithoutMistakes) {
  const Outcome outcome = reverse(Mistake::kNone);
  EXPECT_EQ(outcome.error, "");
  EXPECT_TRUE(is_reversed(outcome));
}

TEST_P(Emulator, AMissingBarrierShows) {
  const Outcome outcome = reverse(Mistake::kNoBarrier);
  EXPECT_TRUE(!outcome.error.empty() || !is_reversed(outcome));
}

TEST_P(Emulator, AMissingWaitIsNaN) {
  const Outcome outcome = reverse(Mistake::kNoWait);
  EXPECT_TRUE(std::ranges::any_of(outcome.values, [](float x) { return std::isnan(x); }) || !outcome.error.empty());
}

TEST_P(Emulator, UninitialisedSharedMemoryIsNaN) {
  EXPECT_TRUE(std::isnan(reverse(Mistake::kUninitialised).values[3]));
}

/// Which threads notice, and how, depends on the schedule; that somebody does must not.
TEST_P(Emulator, BrokenProtocolsAreErrors) {
  EXPECT_THAT(reverse(Mistake::kExitedLane).error, ContainsRegex("have ended|it ends while"));
  EXPECT_THAT(reverse(Mistake::kDivergentShuffle).error, HasSubstr("divergence"));
  EXPECT_THAT(reverse(Mistake::kDivergentBarrier).error, HasSubstr("divergent barrier"));
  EXPECT_THAT(reverse(Mistake::kEarlyExit).error, ContainsRegex("have ended|it ends while"));
  EXPECT_THAT(reverse(Mistake::kDeadlock).error, ContainsRegex("deadlock|divergence"));
}

TEST_P(Emulator, ErrorsNameThreadAndLine) {
  EXPECT_THAT(reverse(Mistake::kDivergentBarrier).error,
              ContainsRegex("block [01] thread [0-9]+: .*sample_kernels.cu:[0-9]+"));
}

TEST_P(Emulator, TheLastBlockAddsUp) {
  const Outcome outcome = add_blocks(ArrivalMistake::kNone);
  EXPECT_EQ(outcome.error, "");
  for (std::size_t i = 0; i < 128; ++i) EXPECT_EQ(outcome.values[i], static_cast<float>(kBlocks * (i % 64))) << i;
}

TEST_P(Emulator, RunsClusters) {
  const Outcome outcome = pass_on(ClusterMistake::kNone);
  EXPECT_EQ(outcome.error, "");
  EXPECT_TRUE(is_passed_on(outcome));
}

TEST_P(Emulator, BrokenClusterProtocolsAreErrors) {
  EXPECT_THAT(pass_on(ClusterMistake::kNoFirstBarrier).error, HasSubstr("may not have started"));
  EXPECT_THAT(pass_on(ClusterMistake::kNoLastBarrier).error, HasSubstr("without a cluster barrier"));
  EXPECT_THAT(pass_on(ClusterMistake::kEarlyExit).error, ContainsRegex("have ended|it ends while"));
  EXPECT_THAT(pass_on(ClusterMistake::kNoArrival).error, HasSubstr("it has not arrived"));
  EXPECT_THAT(pass_on(ClusterMistake::kArrivesTwice).error, HasSubstr("arrived before"));
  EXPECT_THAT(pass_on(ClusterMistake::kNoWait).error, ContainsRegex("without cluster_wait|have ended"));
  EXPECT_THAT(pass_on(ClusterMistake::kDivergent).error, HasSubstr("divergent cluster barrier"));
  EXPECT_THAT(pass_on(ClusterMistake::kDeadlock).error, ContainsRegex("deadlock|divergent"));
}

TEST_P(Emulator, AMissingClusterBarrierShows) {
  const Outcome outcome = pass_on(ClusterMistake::kNoBarrier);
  EXPECT_TRUE(!outcome.error.empty() || !is_passed_on(outcome));
}

TEST_P(Emulator, ClusterAddressesHaveBounds) {
  EXPECT_THAT(pass_on(ClusterMistake::kBeyondTheCluster).error, HasSubstr("block 4 of a cluster of 4"));
  EXPECT_THAT(pass_on(ClusterMistake::kBeyondSharedMemory).error, HasSubstr("not in the cluster's shared memory"));
}

TEST_P(Emulator, BlocksExchangeBytes) {
  const Outcome outcome = exchange(ExchangeMistake::kNone);
  EXPECT_EQ(outcome.error, "");
  EXPECT_TRUE(is_exchanged(outcome));
}

TEST_P(Emulator, BrokenExchangesAreErrors) {
  EXPECT_THAT(exchange(ExchangeMistake::kNoInit).error, HasSubstr("has not"));
  EXPECT_THAT(exchange(ExchangeMistake::kNoFirstBarrier).error,
              ContainsRegex("has not|no cluster barrier since|may not have started"));
  EXPECT_THAT(exchange(ExchangeMistake::kOneThreadWaits).error, ContainsRegex("phase|deadlock"));
  EXPECT_THAT(exchange(ExchangeMistake::kNoExpectation).error, HasSubstr("deadlock"));
  EXPECT_THAT(exchange(ExchangeMistake::kExpectsTwice).error, HasSubstr("expected twice"));
  EXPECT_THAT(exchange(ExchangeMistake::kExpectsLess).error,
              ContainsRegex("it began in has ended|more bytes|no block has waited"));
  EXPECT_THAT(exchange(ExchangeMistake::kExpectsMore).error, ContainsRegex("deadlock|more bytes"));
  EXPECT_THAT(exchange(ExchangeMistake::kBarrierElsewhere).error, HasSubstr("has not initialised an mbarrier at"));
  EXPECT_THAT(exchange(ExchangeMistake::kNoLastBarrier).error, HasSubstr("without a cluster barrier"));
}

TEST_P(Emulator, AMissingWaitForBytesShows) {
  for (const auto mistake : {ExchangeMistake::kNoWait, ExchangeMistake::kNoLastWait}) {
    const Outcome outcome = exchange(mistake);
    EXPECT_TRUE(!outcome.error.empty() || !is_exchanged(outcome));
  }
}

/// What is wrong about these depends on what arrives first.
TEST(EmulatorExchange, SharingABufferOrABarrierShowsInSomeSchedule) {
  for (const auto mistake : {ExchangeMistake::kOneBuffer, ExchangeMistake::kOneBarrier}) {
    int seen = 0;
    for (int i = 0; i < 20; ++i) {
      options() = {.order = i == 0   ? Order::kForward
                            : i == 1 ? Order::kReverse
                                     : Order::kRandom,
                   .seed = static_cast<std::uint64_t>(i)};
      const Outcome outcome = exchange(mistake);
      seen += !outcome.error.empty() || !is_exchanged(outcome) ? 1 : 0;
    }
    EXPECT_GT(seen, 0) << static_cast<int>(mistake);
  }
  options() = {};
}

TEST(EmulatorReverse, BlocksThatHaveEndedCannotBeWrittenTo) {
  options() = {.order = Order::kReverse};
  EXPECT_THAT(pass_on(ClusterMistake::kWritesToTheEnded).error, HasSubstr("block 2, which has ended"));
  options() = {};
}

TEST(EmulatorLaunch, ImpossibleOnesAreRefused) {
  const auto nothing = [] {};
  EXPECT_THROW(launch({.block = dim3(1025)}, {}, nothing), Error);
  EXPECT_THROW(launch({.grid = dim3(0)}, {}, nothing), Error);
  EXPECT_THROW(launch({.shared = 228 * 1024}, {}, nothing), Error);
  EXPECT_THROW(launch({.grid = dim3(6), .cluster = 4}, {}, nothing), Error);
  EXPECT_THROW(launch({.grid = dim3(16), .cluster = 16}, {}, nothing), Error);
}

/// Shared memory of a cluster goes back when a larger one is needed, and stacks may be mapped in its place: under
/// AddressSanitizer they must not be taken for what may not be touched.
TEST(EmulatorLaunch, MemoryThatGoesBackLeavesNoMarks) {
  const auto nothing = [] {};
  launch({.grid = dim3(8), .shared = 64 * 1024, .cluster = 8}, {}, nothing);
  launch({.grid = dim3(8), .shared = 200 * 1024, .cluster = 8}, {}, nothing);
  std::vector<std::uint32_t> threads(64, 64);
  launch({.block = dim3(64)}, {}, [&] { threads[current->linear] = current->linear; });
  for (std::uint32_t i = 0; i < 64; ++i) EXPECT_EQ(threads[i], i);
}

#if defined(__SANITIZE_ADDRESS__)
TEST(EmulatorDeath, SharedMemoryHasBounds) { EXPECT_DEATH(reverse(Mistake::kOutOfBounds), "use-after-poison"); }
#endif

#if defined(__SANITIZE_THREAD__)
TEST(EmulatorRaces, BetweenBlocksAreReported) {
  EXPECT_THAT(reverse(Mistake::kBlocksRace).error, HasSubstr("data races"));
}

TEST(EmulatorRaces, ArrivalsThatOrderNothingAreReported) {
  EXPECT_EQ(add_blocks(ArrivalMistake::kNone).error, "");
  EXPECT_THAT(add_blocks(ArrivalMistake::kNoBarrier).error, HasSubstr("data races"));
  EXPECT_THAT(add_blocks(ArrivalMistake::kPlainCounter).error, HasSubstr("data races"));
}

TEST(EmulatorRaces, WritesBetweenArriveAndWaitAreReported) {
  EXPECT_EQ(pass_on(ClusterMistake::kNone).error, "");
  EXPECT_THAT(pass_on(ClusterMistake::kWritesBetween).error, HasSubstr("data races"));
}
#endif

}  // namespace
}  // namespace reel::emulator
