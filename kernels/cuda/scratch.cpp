#include "kernels/cuda/context.h"

namespace reel::REEL_CUDA_BUILD {

void Scratch::reserve(std::size_t bytes) {
  used_ = 0;
  if (bytes <= size_) return;
  memory_ = platform_.allocate_uninitialised(bytes);
  memories_.push_back(memory_);
  size_ = bytes;
}

}  // namespace reel::REEL_CUDA_BUILD
