// A device, its memory, transfers, and what of it can be watched.
//
// upload(), download() and synchronize() wait for what was enqueued; nothing else does.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/plan.h"
#include "kernels/tensor.h"

namespace reel {

enum class DeviceKind { kCpu, kCuda };

/// kMixed: a recurrence of bounded states (kernels/contract/cells.h) multiplies 16-bit states, weights and gradients
/// and sums in float32: fp16 on a CUDA device (bfloat16 gradients; TF32 or bfloat16 in W_hh's gradient), bfloat16 on a
/// CPU that is faster so. Sequences between kernels are in 16 bits too where the backend packs_sequences(). Parameters,
/// their gradients and everything else stay float32.
enum class Precision { kFloat32, kMixed };

/// What kMixed multiplies on a CPU: numbers as they are, or bfloat16, by vectors (AVX512-BF16) or tiles (AMX), which
/// add up in another order. kAuto is what is fastest on the processor.
enum class MixedProducts { kAuto, kFloat32, kBf16, kAmx };

struct DeviceInfo {
  DeviceKind kind = DeviceKind::kCpu;
  std::string name;          // "AMD EPYC 7B13", "NVIDIA H200"
  std::string instructions;  // "AVX2", "compute capability 9.0"
  int threads = 1;           // of a GPU: multiprocessors
};

/// A copy to host memory that nobody has to wait for.
class Readback {
 public:
  virtual ~Readback() = default;
  /// Enqueues the copy of at most as many bytes as it was made for.
  virtual void start(std::span<const std::byte> from) = 0;
  /// Whether wait() would return at once.
  virtual bool ready() = 0;
  /// What was copied; valid until the next start().
  virtual std::span<const std::byte> wait() = 0;
};

/// How long all ranges of one name, inside the same others, took.
struct RangeTiming {
  std::string name;
  int depth = 0;  // 0: in no other range
  std::int64_t calls = 0;
  double seconds = 0;
};

/// A device, its memory, and what of it can be watched.
class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceInfo info() const = 0;

  template <class T>
  Buffer<T> allocate(std::int64_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto size = static_cast<std::size_t>(count);
    return Buffer<T>(static_cast<T*>(allocate_bytes(size * sizeof(T))), size, deleter());
  }
  /// Waits until `host` may change: for everything enqueued before it, on a device that copies later.
  template <class T>
  void upload(std::span<const T> host, std::span<T> device) {
    copy_bytes(std::as_bytes(host), std::as_writable_bytes(device));
    synchronize();
  }
  /// Waits for everything enqueued before it.
  template <class T>
  void download(std::span<const T> device, std::span<T> host) {
    copy_bytes(std::as_bytes(device), std::as_writable_bytes(host));
    synchronize();
  }
  /// From the device's memory to its memory, elsewhere.
  template <class T>
  void copy(std::span<const T> from, std::span<T> to) {
    copy_bytes(std::as_bytes(from), std::as_writable_bytes(to));
  }
  virtual std::unique_ptr<Readback> make_readback(std::size_t bytes) = 0;
  virtual void synchronize() = 0;

  /// A named range of a profile (NVTX) and of timings(); see range.h.
  virtual void begin_range(const char* name) = 0;
  virtual void end_range() noexcept = 0;
  /// All ranges so far, each before those inside it; empty unless the backend was made with BackendOptions::timings.
  virtual std::vector<RangeTiming> timings() = 0;
  /// What `enqueue` would enqueue, which it does not: see PlanRecorder in kernels/cuda/plan.h. Nothing on a CPU, where
  /// `enqueue` is not called.
  virtual Plan plan(const std::function<void()>& /*enqueue*/) { return {}; }
  /// From now on, or no longer, a profiler records (cudaProfilerStart, cudaProfilerStop).
  virtual void record_profile(bool /*on*/) {}
  /// Whether begin_graph() collects anything.
  virtual bool has_graphs() const { return false; }
  /// Collects what is enqueued and starts it as one (a CUDA graph): see GraphCapture in range.h. After the same name
  /// the same operations on the same shapes should follow; nothing may be uploaded, downloaded or read back in between.
  /// The first time of a name everything runs as it is enqueued.
  virtual void begin_graph(const std::string& /*name*/) {}
  virtual void end_graph() {}
  virtual void abandon_graph() noexcept {}
  /// Starts the graph `name` again as it was collected last; false where it has not been collected.
  virtual bool launch_graph(const std::string& /*name*/) { return false; }
  /// Waits for the graph `name`, and collects anew what is next called so; see GraphName in range.h.
  virtual void forget_graph(const std::string& /*name*/) noexcept {}
  /// The same `runs` times; seconds that the device took for all of them. Only where the graph has been collected.
  virtual double replay_graph(const std::string& /*name*/, int /*runs*/) { return 0; }

 protected:
  virtual void* allocate_bytes(std::size_t bytes) = 0;  // zeroed, 64-byte aligned
  virtual typename Buffer<char>::Deleter deleter() const = 0;
  virtual void copy_bytes(std::span<const std::byte> from, std::span<std::byte> to) = 0;
};

}  // namespace reel
