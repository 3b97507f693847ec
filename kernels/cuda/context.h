// What every CUDA operation gets besides its arguments.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/platform.h"
#include "kernels/make_backend.h"

namespace reel::cuda {

/// Scratch memory of one operation at a time: taken piece by piece, given back all at once. It grows until it has seen
/// the largest need and allocates nothing after; outgrown memory is kept, for graphs that may still use it.
class Scratch {
 public:
  /// Called by each operation first, with all that it will take.
  void reserve(std::size_t bytes) {
    used_ = 0;
    if (memories_.empty() || bytes > memories_.back().size()) memories_.emplace_back(bytes);
  }
  template <class T>
  T* take(std::int64_t count) {
    T* const piece = reinterpret_cast<T*>(static_cast<std::byte*>(memories_.back().data()) + used_);
    used_ += need<T>(count);
    return piece;
  }
  template <class T>
  static std::size_t need(std::int64_t count) {
    return (static_cast<std::size_t>(count) * sizeof(T) + 255) / 256 * 256;
  }

 private:
  std::vector<DeviceMemory> memories_;
  std::size_t used_ = 0;
};

struct CudaContext {
  explicit CudaContext(const BackendOptions& options) : precision(options.precision), recurrence(options.recurrence) {
    if (recurrence != Recurrence::kReel) cudnn = std::make_unique<Cudnn>(platform, recurrence, precision);
  }

  Precision precision;
  Recurrence recurrence;
  Platform platform;
  Scratch scratch;
  std::unique_ptr<Cudnn> cudnn;  // if asked for
  // How many clusters run at once, by the width of the kernels, once asked: cluster.cu's and gated.cu's.
  mutable std::array<std::optional<int>, 2> cluster_capacities, gated_capacities;
};

}  // namespace reel::cuda
