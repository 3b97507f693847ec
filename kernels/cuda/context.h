// What every CUDA operation gets besides its arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/platform.h"
#include "kernels/make_backend.h"

namespace reel::REEL_CUDA_BUILD {

/// Scratch memory of one operation at a time: taken piece by piece, given back all at once. It grows until it has seen
/// the largest need and allocates nothing after; outgrown memory is kept, for graphs that may still use it.
class Scratch {
 public:
  explicit Scratch(Platform& platform) : platform_(platform) {}
  ~Scratch() {
    for (void* const memory : memories_) Platform::release(memory);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /// Called by each operation first, with all that it will take.
  void reserve(std::size_t bytes);
  template <class T>
  T* take(std::int64_t count) {
    T* const piece = reinterpret_cast<T*>(static_cast<std::byte*>(memory_) + used_);
    used_ += rounded(static_cast<std::size_t>(count) * sizeof(T));
    return piece;
  }
  static std::size_t rounded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }
  template <class T>
  static std::size_t need(std::int64_t count) {
    return rounded(static_cast<std::size_t>(count) * sizeof(T));
  }

 private:
  Platform& platform_;
  std::vector<void*> memories_;
  void* memory_ = nullptr;
  std::size_t size_ = 0, used_ = 0;
};

struct CudaContext {
  explicit CudaContext(const BackendOptions& options) : precision(options.precision), recurrence(options.recurrence) {
    if (recurrence != Recurrence::kReel) cudnn = std::make_unique<Cudnn>(platform, recurrence, precision);
  }

  Precision precision;
  Recurrence recurrence;
  Platform platform;
  Scratch scratch{platform};
  std::unique_ptr<Cudnn> cudnn;  // if asked for
};

}  // namespace reel::REEL_CUDA_BUILD
