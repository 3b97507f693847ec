// The one place where a device becomes a backend.
#include "kernels/backend.h"
#include "kernels/check.h"
#if REEL_CUDA
#include "kernels/cuda/query.h"
#endif

namespace reel {

DeviceKind best_device() { return DeviceKind::kCpu; }

std::string describe_cuda() {
#if REEL_CUDA
  return describe_cuda_device() + " (this version trains on the CPU alone)";
#else
  return "none: built without the CUDA toolkit";
#endif
}

std::unique_ptr<Backend<float>> make_backend(DeviceKind device, int threads) {
  if (device == DeviceKind::kCuda) {
    fail("--device cuda: this version of Reel has no CUDA engine, expected --device cpu");
  }
  return make_cpu_backend<float>(threads);
}

}  // namespace reel
