// A fixed set of threads that run numbered tasks.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace reel {

/// The number of cores this process may run on.
int available_cores();

/// Threads that compute: but for the calling one, whose mode is its own, they flush denormals.
class ThreadPool {
 public:
  /// `threads` includes the calling thread; 0 means available_cores(). Throws Error where so many cannot be started.
  explicit ThreadPool(int threads);
  ~ThreadPool();

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls f(i) once for each i in [0, tasks), started in ascending order, on any of the threads; returns when all are
  /// done. The first exception that a task throws is thrown again here. Not reentrant.
  template <class F>
  void run(std::size_t tasks, F&& f) {
    using Function = std::remove_reference_t<F>;
    call_ = [](const void* function, std::size_t i) { (*static_cast<Function*>(const_cast<void*>(function)))(i); };
    function_ = &f;
    run_tasks(tasks);
  }

 private:
  /// The workers end; joining them is for their owner.
  void stop() noexcept;
  void run_tasks(std::size_t tasks);
  bool take_task();
  void work();

  // The high half counts calls of run, the low half the tasks not yet taken: a thread that comes late to one call can
  // only ever take tasks of the current one.
  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<std::uint32_t> unfinished_{0};
  std::atomic<bool> stop_{false};
  std::size_t tasks_ = 0;
  void (*call_)(const void*, std::size_t) = nullptr;
  const void* function_ = nullptr;
  std::mutex error_mutex_;
  std::exception_ptr error_;
  std::vector<std::jthread> workers_;
};

}  // namespace reel
