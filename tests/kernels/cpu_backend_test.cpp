// What the CPU backend says of its machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "kernels/cpu/mixed_products.h"
#include "kernels/error.h"
#include "kernels/make_backend.h"

namespace reel {
namespace {

TEST(CpuBackend, SaysWhichProcessorItRunsOn) {
  std::stringstream machine;
  machine << std::ifstream("/proc/cpuinfo").rdbuf();
  const std::string name = make_cpu_backend<float>(1)->info().name;
  if (machine.str().find("model name") == std::string::npos) {
    EXPECT_EQ(name, "CPU");
  } else {
    EXPECT_THAT(machine.str(), testing::HasSubstr(": " + name + "\n"));
  }
}

/// Measured of each (bench/notes.md).
TEST(CpuBackend, MixedTakesTheFastestProductsOfTheProcessor) {
  const auto fastest = [](const char* maker, bool avx512, bool amx) {
    return cpu::fastest_products(maker, {.avx512 = avx512, .amx = amx});
  };
  EXPECT_EQ(fastest("GenuineIntel", true, true), MixedProducts::kAmx);
  EXPECT_EQ(fastest("GenuineIntel", true, false), MixedProducts::kFloat32);
  EXPECT_EQ(fastest("AuthenticAMD", true, false), MixedProducts::kBf16);
  EXPECT_EQ(fastest("AuthenticAMD", false, false), MixedProducts::kFloat32);
  EXPECT_TRUE(cpu_has(MixedProducts::kFloat32));
  EXPECT_TRUE(cpu_has(fastest_mixed_products()));
}

/// As on a GPU: an overflow is not a state of 0.
TEST(CpuBackend, ReluKeepsWhatIsNoNumber) {
  const auto backend = make_cpu_backend<float>(1);
  const std::vector<std::int32_t> row_of(1), lengths{1};
  const std::vector<float> input(3, std::numeric_limits<float>::quiet_NaN()), w_hh(9);
  std::vector<float> h(6);
  backend->run(RecurrenceForward<float>{.cell = Cell::kRelu,
                                        .shape = {1, 1, 3},
                                        .lengths = lengths,
                                        .input = {.values = input, .width = 3, .row_of = row_of},
                                        .w_hh = w_hh,
                                        .h = h});
  EXPECT_TRUE(std::isnan(h[3]) && std::isnan(h[5]));
}

/// They take some processors a hundred times as long: gradients that vanish are 0 in the end.
TEST(CpuBackend, HasNoDenormalGradients) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "x86 alone flushes denormals";
#endif
  constexpr std::size_t kBatch = 8, kSteps = 200, kHidden = 16;
  const auto backend = make_cpu_backend<float>(2);
  const std::vector<std::int32_t> lengths(kBatch, kSteps);
  const std::vector<float> h((kSteps + 1) * kBatch * kHidden), d_last(kBatch * kHidden, 1.0f);
  std::vector<float> w_hh(kHidden * kHidden), d_input(kSteps * kBatch * kHidden), d_w_hh(w_hh.size());
  for (std::size_t i = 0; i < kHidden; ++i) w_hh[i * kHidden + i] = 0.5f;  // the gradient of step T-1-k is 2^-k
  backend->run(RecurrenceBackward<float>{.shape = {.batch = kBatch, .steps = kSteps, .hidden = kHidden},
                                         .lengths = lengths,
                                         .h = h,
                                         .w_hh = w_hh,
                                         .d_output = {.last = d_last, .every = {}},
                                         .d_input = d_input,
                                         .d_w_hh = d_w_hh});
  for (std::size_t t = 0; t < kSteps; ++t) {
    const float expected = kSteps - 1 - t <= 126 ? std::ldexp(1.0f, -static_cast<int>(kSteps - 1 - t)) : 0.0f;
    for (std::size_t i = 0; i < kBatch * kHidden; ++i) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(d_input[t * kBatch * kHidden + i]), std::bit_cast<std::uint32_t>(expected))
          << t;
    }
  }
  const volatile float smallest = std::numeric_limits<float>::min();
  EXPECT_NE(std::bit_cast<std::uint32_t>(smallest / 2), 0U) << "the caller's own arithmetic changed";
}

/// The recurrence may take minutes; a program that is to end within seconds cannot wait for it.
TEST(CpuBackend, LongOperationsCanBeInterrupted) {
  std::atomic<int> interrupted = 0;
  const auto backend = make_cpu_backend<float>({.threads = 2, .interrupted = &interrupted});
  const SequenceShape shape{.batch = 1, .steps = 2, .hidden = 1};
  const std::vector<std::int32_t> row_of{0, 0}, lengths{2};
  const std::vector<float> projected{0.5f}, w_hh{1}, d_last{1};
  std::vector<float> h(3), dz(2), d_w_hh(1);
  const auto forward = [&] {
    backend->run(RecurrenceForward<float>{.shape = shape,
                                          .lengths = lengths,
                                          .input = {.values = projected, .width = 1, .row_of = row_of},
                                          .w_hh = w_hh,
                                          .h = h});
  };
  const auto backward = [&] {
    backend->run(RecurrenceBackward<float>{.shape = shape,
                                           .lengths = lengths,
                                           .h = h,
                                           .w_hh = w_hh,
                                           .d_output = {.last = d_last, .every = {}},
                                           .d_input = dz,
                                           .d_w_hh = d_w_hh});
  };
  forward();
  backward();
  EXPECT_NE(d_w_hh[0], 0);
  interrupted = 15;
  EXPECT_THROW(forward(), Interrupted);
  EXPECT_THROW(backward(), Interrupted);
  interrupted = 0;
  forward();
  backward();
}

/// Says so to the other branches and waits for them; whether all of `count` came.
bool meet(std::atomic<int>& arrived, int count) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  ++arrived;
  while (arrived < count && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  return arrived >= count;
}

TEST(CpuBackendBranches, ShareTheThreads) {
  for (const int threads : {2, 4, 6}) {
    const auto backend = make_cpu_backend<float>(threads);
    for (const int count : {2, 2, 1}) {
      std::atomic<int> arrived = 0, met = 0;
      backend->run_branches(static_cast<std::size_t>(count), [&](Backend<float>& branch, std::size_t) {
        EXPECT_EQ(branch.info().threads, threads / count);
        if (meet(arrived, count)) ++met;
      });
      EXPECT_EQ(met, count) << threads << " threads";
    }
  }
}

TEST(CpuBackendBranches, RunInOrderWhereThreadsCannotBeShared) {
  for (const int threads : {1, 3}) {
    const auto backend = make_cpu_backend<float>(threads);
    std::vector<std::size_t> order;
    backend->run_branches(2, [&](Backend<float>& branch, std::size_t i) {
      EXPECT_EQ(&branch, backend.get());
      order.push_back(i);
    });
    EXPECT_THAT(order, testing::ElementsAre(0, 1));
  }
}

TEST(CpuBackendBranches, RunInOrderWithTimings) {
  const auto backend = make_cpu_backend<float>({.threads = 2, .timings = true});
  std::vector<std::size_t> called;
  backend->run_branches(2, [&](Backend<float>& branch, std::size_t i) {
    EXPECT_EQ(&branch, backend.get());
    called.push_back(i);
  });
  EXPECT_EQ(called, (std::vector<std::size_t>{0, 1}));
}

TEST(CpuBackendBranches, WhatOneThrowsIsThrownWhenAllHaveEnded) {
  for (const int threads : {1, 2, 4}) {
    const auto backend = make_cpu_backend<float>(threads);
    for (const std::size_t failing : {0U, 1U}) {
      std::atomic<int> running = 0;
      EXPECT_THROW(backend->run_branches(2,
                                         [&](Backend<float>&, std::size_t i) {
                                           ++running;
                                           if (i == failing) {
                                             --running;
                                             throw std::runtime_error("failed");
                                           }
                                           std::this_thread::sleep_for(std::chrono::milliseconds(5));
                                           --running;
                                         }),
                   std::runtime_error);
      EXPECT_EQ(running, 0);
    }
    EXPECT_THROW(backend->run_branches(2, [](Backend<float>&, std::size_t) { throw std::runtime_error("both"); }),
                 std::runtime_error);
    std::atomic<int> runs = 0;
    backend->run_branches(2, [&](Backend<float>&, std::size_t) { ++runs; });
    EXPECT_EQ(runs, 2);
  }
}

TEST(CpuBackendBranches, CanBeInterrupted) {
  std::atomic<int> interrupted = 15;
  const auto backend = make_cpu_backend<float>({.threads = 2, .interrupted = &interrupted});
  const std::vector<std::int32_t> row_of(1), lengths{1};
  const std::vector<float> input(1), w_hh(1);
  std::vector<float> h[2] = {std::vector<float>(2), std::vector<float>(2)};
  EXPECT_THROW(backend->run_branches(2,
                                     [&](Backend<float>& branch, std::size_t i) {
                                       branch.run(RecurrenceForward<float>{
                                           .shape = {1, 1, 1},
                                           .lengths = lengths,
                                           .input = {.values = input, .width = 1, .row_of = row_of},
                                           .w_hh = w_hh,
                                           .h = h[i]});
                                     }),
               Interrupted);
}

}  // namespace
}  // namespace reel
