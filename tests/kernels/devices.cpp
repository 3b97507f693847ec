#include "tests/kernels/devices.h"
#include "kernels/cuda/backend.h"

namespace reel::test {

std::unique_ptr<Backend<float>> TestDevice::make() const {
  switch (kind) {
    case Kind::kCpu:
      return make_cpu_backend<float>(2);
    case Kind::kEmulator:
#if REEL_EMULATOR
      return cuda_emulated::make_cuda_backend({.precision = precision, .recurrence = recurrence});
#else
      break;
#endif
    case Kind::kGpu:
      return make_backend({.device = DeviceKind::kCuda, .precision = precision, .recurrence = recurrence});
  }
  return nullptr;
}

std::ostream& operator<<(std::ostream& out, const TestDevice& device) { return out << device.name; }

std::vector<TestDevice> all_devices() {
  using Kind = TestDevice::Kind;
  return {{.name = "Cpu"},
          {.name = "Emulator", .kind = Kind::kEmulator},
          {.name = "EmulatorMixed", .kind = Kind::kEmulator, .precision = Precision::kMixed, .tolerances = kMixed},
          {.name = "EmulatorCudnn", .kind = Kind::kEmulator, .recurrence = Recurrence::kCudnn},
          {.name = "Gpu", .kind = Kind::kGpu},
          {.name = "GpuMixed", .kind = Kind::kGpu, .precision = Precision::kMixed, .tolerances = kMixed},
          {.name = "GpuCudnn", .kind = Kind::kGpu, .recurrence = Recurrence::kCudnn},
          {.name = "GpuCudnnStandard", .kind = Kind::kGpu, .recurrence = Recurrence::kCudnnStandard}};
}

std::string why_not(const TestDevice& device) {
  if (device.kind == TestDevice::Kind::kEmulator && !REEL_EMULATOR)
    return "needs the CUDA toolkit's headers and x86-64";
  if (device.kind == TestDevice::Kind::kGpu && best_device() != DeviceKind::kCuda) return describe_cuda();
  return "";
}

}  // namespace reel::test
