// The one place where a device becomes a backend.
#include "kernels/make_backend.h"
#include "kernels/check.h"
#if REEL_CUDA
#include "kernels/cuda/backend.h"
#endif

namespace reel {

#if REEL_CUDA
DeviceKind best_device() { return cuda_device::query_cuda_device().usable ? DeviceKind::kCuda : DeviceKind::kCpu; }

std::string describe_cuda() {
  const CudaDevice device = cuda_device::query_cuda_device();
  return device.usable ? device.text : "none: " + device.text;
}
#else
DeviceKind best_device() { return DeviceKind::kCpu; }

std::string describe_cuda() { return "none: built without the CUDA toolkit"; }
#endif

std::unique_ptr<Backend<float>> make_backend(const BackendOptions& options) {
  if (options.device == DeviceKind::kCpu) {
    if (options.recurrence != Recurrence::kReel) fail("--recurrence cudnn: needs --device cuda, found cpu");
    return make_cpu_backend<float>(options.threads, options.precision, options.timings);
  }
#if REEL_CUDA
  return cuda_device::make_cuda_backend(options);
#else
  fail("--device cuda: built without the CUDA toolkit; --device cpu works without");
#endif
}

}  // namespace reel
