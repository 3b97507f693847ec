// What every CPU operation gets besides its arguments: threads and scratch memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/contract/cells.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/device.h"
#include "kernels/error.h"

namespace reel {

/// Scratch memory of one operation at a time. It grows until it has seen the largest need and allocates nothing after.
class Arena {
 public:
  /// Forgets everything taken before; called before each operation.
  void reset() {
    if (blocks_.size() > 1) {  // the last operation outgrew the block: one block that holds it all
      std::size_t total = 0;
      for (const Block& block : blocks_) total += block.size;
      blocks_.clear();
      add_block(total);
    }
    used_ = 0;
  }

  /// Uninitialised, aligned to a cache line.
  template <class T>
  std::span<T> take(std::size_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    const std::size_t bytes = (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    if (blocks_.empty() || used_ + bytes > blocks_.back().size) {
      add_block(bytes);
      used_ = 0;
    }
    T* const data = reinterpret_cast<T*>(blocks_.back().data.get() + used_);
    used_ += bytes;
    return {data, count};
  }

 private:
  static constexpr std::size_t kAlignment = 64;
  struct Free {
    void operator()(std::byte* data) const { ::operator delete[](data, std::align_val_t{kAlignment}); }
  };
  struct Block {
    std::unique_ptr<std::byte[], Free> data;
    std::size_t size;
  };

  void add_block(std::size_t size) {
    auto* const data = static_cast<std::byte*>(::operator new[](size, std::align_val_t{kAlignment}));
    blocks_.push_back({std::unique_ptr<std::byte[], Free>(data), size});
  }

  std::vector<Block> blocks_;
  std::size_t used_ = 0;
};

struct CpuContext {
  CpuContext(int threads, MixedProducts mixed, const std::atomic<int>* interruption)
      : products(mixed), interrupted(interruption), pool(threads) {}

  /// Called again and again by operations that may take seconds, none of which writes parameters.
  void check_interrupted() const {
    if (interrupted != nullptr && interrupted->load(std::memory_order_relaxed) != 0) throw Interrupted();
  }

  MixedProducts products;               // of bounded recurrences; not kAuto
  const std::atomic<int>* interrupted;  // see BackendOptions; null: never
  ThreadPool pool;
  Arena arena;
};

namespace cpu {

/// What a recurrence of such cells multiplies.
inline MixedProducts products_of(const CpuContext& context, Cell cell) {
  return traits(cell).bounded ? context.products : MixedProducts::kFloat32;
}

/// Calls f(b) for each of the batch's rows, a few of them a task.
template <class F>
void for_each_row(CpuContext& context, std::size_t batch, const F& f) {
  constexpr std::size_t kRows = 8;
  context.pool.run((batch + kRows - 1) / kRows, [&](std::size_t task) {
    for (std::size_t b = task * kRows; b < std::min(batch, (task + 1) * kRows); ++b) f(b);
  });
}

}  // namespace cpu
}  // namespace reel
