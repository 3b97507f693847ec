#include "kernels/cuda/platform.h"

namespace reel::REEL_CUDA_BUILD {

void Scratch::reserve(std::size_t bytes) {
  used_ = 0;
  if (bytes <= size_) return;
  platform_.synchronize();  // what was enqueued may still use the old memory
  Platform::release(memory_);
  memory_ = nullptr;
  size_ = 0;
  memory_ = platform_.allocate(bytes);
  size_ = bytes;
}

}  // namespace reel::REEL_CUDA_BUILD
