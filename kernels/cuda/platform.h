// The libraries under the CUDA backend, as far as it needs them: memory, a stream, matrix products, sorts and scans.
// platform.cu is made of the CUDA runtime, cuBLAS and CUB; tests/emulator/platform.cpp of the CPU's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

namespace reel::REEL_CUDA_BUILD {

/// C [m, n] = A [m, k] . B [k, n] + beta C, row-major in float32; A and B may be given transposed, then they lie in
/// memory as [k, m] and [n, k].
struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  const float* b = nullptr;
  float* c = nullptr;
  bool a_transposed = false;
  bool b_transposed = false;
  float beta = 0;
};

/// The most blocks of a cluster that every device with clusters can run.
constexpr int kClusterBlocks = 8;

struct DeviceLimits {
  std::string name;    // "NVIDIA H200"
  int capability = 0;  // 90 for compute capability 9.0
  int multiprocessors = 0;
  int clusters = 0;                  // of kClusterBlocks blocks, a multiprocessor each, that run at once; 0: has none
  std::size_t shared_per_block = 0;  // bytes that a kernel may ask for
  std::size_t memory = 0;            // bytes
};

/// One device and one stream on it. Throws Error, in one line, where there is none or it fails; all but allocate() and
/// synchronize() return at once.
class Platform {
 public:
  Platform();
  ~Platform();
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;

  const DeviceLimits& limits() const;
  cudaStream_t stream() const;
  void synchronize();

  void* allocate(std::size_t bytes);                // zeroed
  void* allocate_uninitialised(std::size_t bytes);  // enqueues nothing
  static void release(void* memory) noexcept;
  void copy(void* to, const void* from, std::size_t bytes);  // any direction

  /// Its memory is pinned, so that the copy runs beside the host.
  std::unique_ptr<Readback> make_readback(std::size_t bytes);

  /// Until end_capture() the stream collects what is enqueued; that starts it, as the graph `name`. The first capture
  /// of a name builds the graph, later ones only exchange its arguments.
  void begin_capture();
  void end_capture(const std::string& name);

  static void begin_range(const char* name);
  static void end_range();
  static void record_profile(bool on);

  /// A moment of the stream. seconds_between() waits for the later one.
  using Moment = std::shared_ptr<void>;
  Moment mark();
  static double seconds_between(const Moment& begin, const Moment& end);

  /// Fixed order of summation: the same bits for the same shapes.
  void product(const Product& product);

  /// Sorts pairs by the lowest `bits` bits of their keys, keeping the order of equal ones.
  void sort_pairs(const std::int32_t* keys, std::int32_t* sorted_keys, const std::int32_t* values,
                  std::int32_t* sorted_values, std::int64_t count, int bits);
  /// sums[i] = values[0] + ... + values[i].
  void inclusive_sum(const std::int32_t* values, std::int32_t* sums, std::int64_t count);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace reel::REEL_CUDA_BUILD
