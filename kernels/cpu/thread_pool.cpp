#include "kernels/cpu/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <system_error>

#include "kernels/check.h"
#include "kernels/cpu/denormals.h"

namespace reel {
namespace {

constexpr int kSpins = 4000;  // some ten microseconds: the gap between two operations of a training step

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

ThreadPool::ThreadPool(int threads) {
  const int total = threads > 0 ? threads : available_cores();
  try {
    for (int i = 1; i < total; ++i) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    stop();
    fail("{} threads cannot be started, perhaps for lack of memory: {}", total, error.code().message());
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() noexcept {
  stop_ = true;
  ticket_ += std::uint64_t{1} << 32;
  ticket_.notify_all();
}

void ThreadPool::run_tasks(std::size_t tasks) {
  REEL_CHECK(tasks < (std::size_t{1} << 32), "{} tasks", tasks);
  if (tasks == 0) return;
  tasks_ = tasks;
  unfinished_.store(static_cast<std::uint32_t>(tasks), std::memory_order_relaxed);
  const std::uint64_t call = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  ticket_.store(call << 32 | tasks, std::memory_order_release);
  if (tasks > 1 && !workers_.empty()) ticket_.notify_all();
  while (take_task()) {
  }
  for (int spin = 0; unfinished_.load(std::memory_order_acquire) != 0;) {
    if (++spin < kSpins) {
      pause();
    } else if (const std::uint32_t left = unfinished_.load(std::memory_order_acquire); left != 0) {
      unfinished_.wait(left, std::memory_order_acquire);
    }
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

// Takes and runs one task of the current call. The call cannot end, and so its function and number of tasks cannot
// change, between the exchange that takes the task and the decrement that reports it.
bool ThreadPool::take_task() {
  std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
  do {
    if ((ticket & 0xFFFFFFFFu) == 0) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire));
  try {
    call_(function_, tasks_ - (ticket & 0xFFFFFFFFu));
  } catch (...) {
    const std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
  if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_all();
  return true;
}

void ThreadPool::work() {
  const FlushDenormals flush;
  while (true) {
    while (take_task()) {
    }
    std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (int spin = 0; spin < kSpins && (ticket & 0xFFFFFFFFu) == 0 && !stop_; ++spin) {
      pause();
      ticket = ticket_.load(std::memory_order_acquire);
    }
    if (stop_) return;
    if ((ticket & 0xFFFFFFFFu) == 0) ticket_.wait(ticket, std::memory_order_acquire);
  }
}

}  // namespace reel
