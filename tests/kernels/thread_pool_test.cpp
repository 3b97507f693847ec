#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <barrier>
#include <bit>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

namespace reel {
namespace {

TEST(ThreadPool, HasAThreadForEachCoreThatMayBeUsed) {
  cpu_set_t all, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  CPU_ZERO(&one);
  std::size_t first = 0;
  while (!CPU_ISSET(first, &all)) ++first;
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(ThreadPool(0).size(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof all, &all), 0);
  EXPECT_EQ(ThreadPool(0).size(), CPU_COUNT(&all));
}

TEST(ThreadPool, RunsEachTaskOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (std::size_t tasks = 0; tasks < 40; ++tasks) {
      std::vector<std::atomic<int>> runs(tasks);
      pool.run(tasks, [&](std::size_t i) { ++runs[i]; });
      for (const auto& count : runs) EXPECT_EQ(count, 1);
    }
  }
}

/// Of a number too small to be normal; the calling thread's mode is its own.
TEST(ThreadPool, WorkersFlushDenormals) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "x86 alone flushes denormals";
#endif
  ThreadPool pool(2);
  std::barrier both(2);  // each thread takes one task
  const std::thread::id caller = std::this_thread::get_id();
  pool.run(2, [&](std::size_t) {
    both.arrive_and_wait();
    const volatile float smallest = std::numeric_limits<float>::min();
    const volatile float half = smallest / 2;
    const bool flushed = std::bit_cast<std::uint32_t>(float{half}) == 0;
    EXPECT_EQ(flushed, std::this_thread::get_id() != caller);
  });
}

TEST(ThreadPool, ManyShortCallsSeeEachOthersWrites) {
  ThreadPool pool(4);
  std::vector<int> values(16, 0);
  for (int call = 0; call < 5000; ++call) {
    pool.run(values.size(), [&](std::size_t i) { values[i] += 1; });
  }
  EXPECT_EQ(values, std::vector<int>(16, 5000));
}

TEST(ThreadPool, ThrowsWhatATaskThrewAndGoesOn) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.run(8,
                        [](std::size_t i) {
                          if (i == 5) throw std::runtime_error("task 5");
                        }),
               std::runtime_error);
  std::atomic<int> runs = 0;
  pool.run(8, [&](std::size_t) { ++runs; });
  EXPECT_EQ(runs, 8);
}

TEST(ThreadPool, ZeroMeansEveryAvailableCore) { EXPECT_EQ(ThreadPool(0).size(), available_cores()); }

}  // namespace
}  // namespace reel
