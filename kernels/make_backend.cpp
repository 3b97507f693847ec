// The one place where a device becomes a backend.
#include "kernels/backend.h"
#include "kernels/check.h"

namespace reel {

std::unique_ptr<Backend<float>> make_backend(DeviceKind device, int threads) {
  if (device == DeviceKind::kCuda)
    fail("--device cuda: this version of Reel has no CUDA engine, expected --device cpu");
  return make_cpu_backend<float>(threads);
}

}  // namespace reel
