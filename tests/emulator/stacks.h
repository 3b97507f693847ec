// Memory of CUDA threads: a stack for each, below it a page that traps, above it the Thread itself.
#pragma once

#include <cstddef>
#include <vector>

#include "tests/emulator/scheduler.h"

namespace reel::emulator {

/// Page-aligned memory from the kernel, unmapped without throwing.
class Mapping {
 public:
  explicit Mapping(std::size_t size);
  ~Mapping();
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&&) = delete;

  char* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  char* data_;
  std::size_t size_;
};

/// Kept from cluster to cluster. Not under ThreadSanitizer: there every one gets memory without a history, and threads
/// (in its sense) that live on to the end of the launch, since a new one in an old one's place would be ordered after
/// it. The next launch may have them: it comes after this one anyway, and they are slow to make.
class StackPool {
 public:
  ~StackPool();
  Thread& thread(std::size_t i);
  /// Memory of at least `size` bytes that lasts for one cluster.
  char* shared(std::size_t size);
  void finish_cluster();
  /// Threads that have not come to an end are not used again.
  void finish_launch(bool all_ended);

 private:
  void destroy_fibers();

  std::vector<Mapping> slots_;
  std::vector<Mapping> shared_;
  std::vector<void*> finished_fibers_, free_fibers_;
};

}  // namespace reel::emulator
