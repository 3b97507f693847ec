// The device under the CUDA backend: memory, a stream, graphs, events, and the libraries' algorithms on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/cub.h"
#include "kernels/cuda/cublas.h"
#include "kernels/cuda/device.h"

namespace reel::cuda {

struct DeviceLimits {
  std::string name;    // "NVIDIA H200"
  int capability = 0;  // 90 for compute capability 9.0
  int multiprocessors = 0;
  bool clusters = false;             // whether it has thread block clusters
  std::size_t shared_per_block = 0;  // bytes that a kernel may ask for
  std::size_t memory = 0;            // bytes
};

/// One device and one stream on it. Throws Error, in one line, where there is none or it fails; all but allocate(),
/// release() and synchronize() return at once.
class Platform {
 public:
  /// Without cuBLAS where nothing is multiplied.
  explicit Platform(bool multiplies = true);
  ~Platform();
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;

  const DeviceLimits& limits() const;
  cudaStream_t stream() const;
  void synchronize();
  /// What is enqueued here from now on begins when everything enqueued to `other` so far is done. If `other` collects a
  /// graph, this stream does so too from now on.
  void wait_for(Platform& other);

  void* allocate(std::size_t bytes);                       // zeroed
  static void* allocate_uninitialised(std::size_t bytes);  // enqueues nothing
  /// Waits for the device first: cudaFree promises no more than that it may.
  static void release(void* memory) noexcept;
  /// Enqueues zeros.
  void clear(void* memory, std::size_t bytes);
  /// Enqueues a copy in any direction. Pageable host memory must stay as it is until synchronize(): CUDA does not
  /// promise to have staged it when the call returns.
  void copy(void* to, const void* from, std::size_t bytes);

  /// Its memory is pinned, so that the copy runs beside the host.
  std::unique_ptr<Readback> make_readback(std::size_t bytes);

  /// Until end_capture() the stream collects what is enqueued; that starts it, as the graph `name`. The first capture
  /// of a name builds the graph, later ones only exchange its arguments. abandon_capture() starts nothing.
  void begin_capture();
  void end_capture(const std::string& name);
  void abandon_capture() noexcept;
  /// Starts the graph `name` again, with the arguments of its last capture; false where there is none.
  bool launch(const std::string& name);
  /// Ends the graph `name`, if there is one, when it has run.
  void forget(const std::string& name) noexcept;
  /// The same `runs` times; seconds that the device took for all of them, by events around.
  double replay(const std::string& name, int runs);

  static void begin_range(const char* name);
  static void end_range();
  static void record_profile(bool on);

  /// A moment of the stream. seconds_between() waits for the later one.
  using Moment = std::shared_ptr<void>;
  Moment mark();
  static double seconds_between(const Moment& begin, const Moment& end);

  void product(const Product& args);
  void sort_pairs(const SortPairs& args);
  void inclusive_sum(const InclusiveSum& args);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// Owns memory of the device, not initialised.
class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes) : memory_(Platform::allocate_uninitialised(bytes)), size_(bytes) {}
  void* data() const { return memory_.get(); }
  std::size_t size() const { return size_; }
  /// The caller has to give it to Platform::release().
  void* give_up() { return memory_.release(); }

 private:
  struct Release {
    void operator()(void* memory) const noexcept { Platform::release(memory); }
  };
  std::unique_ptr<void, Release> memory_;
  std::size_t size_;
};

}  // namespace reel::cuda
