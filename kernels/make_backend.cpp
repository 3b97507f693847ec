// The one place where a device becomes a backend.
#include "kernels/make_backend.h"

#include "kernels/check.h"
#include "kernels/cuda/backend.h"

namespace reel {

DeviceKind best_device() { return query_cuda_device().usable ? DeviceKind::kCuda : DeviceKind::kCpu; }

std::string describe_cuda() {
  const CudaDevice device = query_cuda_device();
  return device.usable ? device.text : "none: " + device.text;
}

std::unique_ptr<Backend<float>> make_backend(const BackendOptions& options) {
  if (options.device == DeviceKind::kCuda) return make_cuda_backend(options);
  if (options.recurrence != Recurrence::kReel) fail("--recurrence cudnn: needs --device cuda, found cpu");
  return make_cpu_backend<float>(options);
}

}  // namespace reel
