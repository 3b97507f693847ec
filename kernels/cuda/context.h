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

/// What may run beside the operations that follow, until one needs it: backend.cpp says which does.
enum class Side {
  kTokens,     // the rows of the batch, and their tokens
  kSort,       // of them
  kHead,       // its statistics and the gradients of its parameters, and later those of the input's biases
  kRecurrent,  // the gradients of W_hh and its bias
  kInput,      // the gradient of W_ih
  kNorm,       // of all gradients, where none is clipped
};
inline constexpr std::size_t kSides = 6;

struct CudaContext {
  explicit CudaContext(const BackendOptions& options)
      : precision(options.precision),
        recurrence(options.recurrence),
        // Events on one stream tell how long a range took; cuDNN's persistent kernels may wait for blocks of their own
        // that have no room beside another one's.
        in_order(options.timings || options.recurrence != Recurrence::kReel) {
    if (recurrence != Recurrence::kReel) cudnn = std::make_unique<Cudnn>(platform, recurrence, precision);
    counters.emplace(sizeof(std::uint32_t) * kCounters * (1 + kSides));
    platform.clear(counters->data(), counters->size());
    arrived = static_cast<std::uint32_t*>(counters->data());
  }
  /// A side of another context.
  CudaContext(const CudaContext& other, Side which)
      : precision(other.precision),
        recurrence(other.recurrence),
        in_order(true),
        platform(which == Side::kRecurrent || which == Side::kInput),
        arrived(other.arrived + kCounters * (1 + static_cast<std::int64_t>(which))) {}

  /// The context of a side, made when it is first asked for; this one where everything runs in order. What a side takes
  /// from its scratch memory, it takes and uses before this context is given other work.
  CudaContext& side(Side which) {
    if (in_order) return *this;
    std::unique_ptr<CudaContext>& made = sides[static_cast<std::size_t>(which)];
    if (!made) made = std::make_unique<CudaContext>(*this, which);
    return *made;
  }
  /// The same; what it is given begins when everything that this context has been given is done, or another side.
  CudaContext& fork(Side which) { return fork(which, *this); }
  CudaContext& fork(Side which, CudaContext& from) {
    CudaContext& forked = side(which);
    if (&forked == this) return forked;
    forked.platform.wait_for(from.platform);
    open[static_cast<std::size_t>(which)] = true;
    return forked;
  }
  /// What this context is given from now on begins when the side is done.
  void join(Side which) {
    const auto i = static_cast<std::size_t>(which);
    if (open[i]) platform.wait_for(sides[i]->platform);
    open[i] = false;
  }
  void join_all() {
    for (std::size_t i = 0; i < kSides; ++i) join(static_cast<Side>(i));
  }

  Precision precision;
  Recurrence recurrence;
  bool in_order;
  Platform platform;
  Scratch scratch;
  static constexpr std::int64_t kCounters = 64;
  std::optional<DeviceMemory> counters;  // these and those of the sides
  std::uint32_t* arrived = nullptr;      // [kCounters] of blocks of one kernel at a time, 0 before and after it
  std::unique_ptr<Cudnn> cudnn;          // if asked for
  // How many clusters run at once, by the width of the kernels, once asked: cluster.cu's and gated.cu's.
  mutable std::array<std::optional<int>, 2> cluster_capacities, gated_capacities;
  std::array<std::unique_ptr<CudaContext>, kSides> sides;
  std::array<bool, kSides> open{};  // forked and not joined
};

}  // namespace reel::cuda
