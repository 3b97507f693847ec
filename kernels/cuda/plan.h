// Records what is enqueued as a plan (kernels/plan.h), instead of enqueuing it.
//
// Estimates are of an H200, whatever the device is, but for the number of its multiprocessors. None has been held
// against a GPU. A node takes the longest of: what it moves at the rate of a copy in global memory, its FLOP at the
// rate of the multiply-adds of float32, and its loads that wait for each other; and before that, its start.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/plan.h"

namespace reel::cuda {

struct DeviceRates {
  static constexpr double kBytesPerSecond = 4.3e12;         // of a copy, reads and writes (measured by others)
  static constexpr double kFlopsPerSecond = 67e12;          // float32, NVIDIA's data sheet
  static constexpr double kProductsFlopsPerSecond = 45e12;  // of them in cuBLAS' products: two thirds
  static constexpr double kTf32FlopsPerSecond = 330e12;     // the same of 495e12 on tensor cores
  static constexpr double kClockHz = 1.9e9;                 // under load; 1.98e9 at most
  static constexpr double kLoadSeconds = 0.14e-6;           // from the L2 cache: some 270 cycles
  /// From the end of a node of a graph to the first instructions of one that waits for it, and to their first results:
  /// 1.2 us between empty kernels, and two loads from global memory.
  static constexpr double kStartSeconds = 2e-6;
};

/// While it lives, what this thread enqueues to a CUDA device is recorded here and not enqueued, but for the zeros of
/// memory that is allocated: they are no part of the plan.
class PlanRecorder {
 public:
  explicit PlanRecorder(int multiprocessors);
  ~PlanRecorder();
  PlanRecorder(const PlanRecorder&) = delete;
  PlanRecorder& operator=(const PlanRecorder&) = delete;
  /// This thread's, or null.
  static PlanRecorder* current();

  void add_kernel(const void* kernel, const Launch& launch);
  /// A library's call, or the runtime's, of several launches perhaps.
  void add_call(cudaStream_t stream, const std::string& name, const Work& work, int launches,
                double flops_per_second = DeviceRates::kFlopsPerSecond);
  /// What is enqueued to `stream` from now on waits for what has been enqueued to `other`.
  void wait(cudaStream_t stream, cudaStream_t other);
  void begin_range(const char* name) { ranges_.emplace_back(name); }
  void end_range() { ranges_.pop_back(); }
  Plan take() { return std::move(plan_); }

  /// What kernels do whose launches do not say so, and how long that takes where it is known otherwise.
  struct Known {
    Work work;
    std::optional<double> microseconds;
  };
  void know(const std::optional<Known>& known) { known_ = known; }

 private:
  void add(cudaStream_t stream, PlanNode node, double seconds);

  int multiprocessors_;
  Plan plan_;
  std::map<cudaStream_t, std::vector<std::size_t>> last_;  // what a stream's next node waits for
  std::vector<std::string> ranges_;
  std::optional<Known> known_;
};

/// PlanRecorder::know(), while it lives.
class PlannedWork {
 public:
  explicit PlannedWork(const std::optional<PlanRecorder::Known>& known) {
    if (PlanRecorder* const plan = PlanRecorder::current()) plan->know(known);
  }
  ~PlannedWork() {
    if (PlanRecorder* const plan = PlanRecorder::current()) plan->know({});
  }
  PlannedWork(const PlannedWork&) = delete;
  PlannedWork& operator=(const PlannedWork&) = delete;
};

}  // namespace reel::cuda
