#include "tests/kernels/devices.h"
#include "kernels/cuda/backend.h"

namespace reel::test {

std::unique_ptr<Backend<float>> TestDevice::make() const {
  const BackendOptions options{.device = kind == Kind::kCpu ? DeviceKind::kCpu : DeviceKind::kCuda,
                               .precision = precision,
                               .recurrence = recurrence,
                               .threads = 2,
                               .graphs = !timings,
                               .timings = timings};
#if REEL_EMULATOR
  if (kind == Kind::kEmulator) return cuda_emulated::make_cuda_backend(options);
#endif
  return make_backend(options);
}

std::vector<std::string> take_profiled_ranges() {
#if REEL_EMULATOR
  return cuda_emulated::take_profiled_ranges();
#else
  return {};
#endif
}

std::ostream& operator<<(std::ostream& out, const TestDevice& device) { return out << device.name; }

std::vector<TestDevice> all_devices() {
  using Kind = TestDevice::Kind;
  return {{.name = "Cpu"},
          {.name = "CpuMixed", .precision = Precision::kMixed, .tolerances = kBfloat16},
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
  if (device.kind == TestDevice::Kind::kCpu && device.precision == Precision::kMixed && !cpu_has_bf16()) {
    return "needs a processor with AVX512-BF16";
  }
  if (device.kind == TestDevice::Kind::kGpu && best_device() != DeviceKind::kCuda) return describe_cuda();
  return "";
}

}  // namespace reel::test
