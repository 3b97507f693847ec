#include "tests/kernels/devices.h"

namespace reel::test {

std::unique_ptr<Backend<float>> TestDevice::make() const {
  return make_backend({.device = kind,
                       .precision = precision,
                       .recurrence = recurrence,
                       .threads = 2,
                       .graphs = !timings,
                       .timings = timings});
}

std::ostream& operator<<(std::ostream& out, const TestDevice& device) { return out << device.name; }

TestDevice cuda_device(const std::string& suffix, Precision precision, Recurrence recurrence) {
  return {.name = (kEmulated ? "Emulator" : "Gpu") + suffix,
          .kind = DeviceKind::kCuda,
          .precision = precision,
          .tolerances = precision == Precision::kMixed ? kMixed : kFloat32,
          .recurrence = recurrence};
}

std::vector<TestDevice> all_devices() {
  std::vector<TestDevice> devices = {{.name = "Cpu"},
                                     {.name = "CpuMixed", .precision = Precision::kMixed, .tolerances = kBfloat16},
                                     cuda_device(),
                                     cuda_device("Mixed", Precision::kMixed),
                                     cuda_device("Cudnn", Precision::kFloat32, Recurrence::kCudnn)};
  // One algorithm is like another to the emulator.
  if (!kEmulated) devices.push_back(cuda_device("CudnnStandard", Precision::kFloat32, Recurrence::kCudnnStandard));
  return devices;
}

std::string why_not(const TestDevice& device) {
  if (device.kind == DeviceKind::kCuda && best_device() != DeviceKind::kCuda) return describe_cuda();
  if (device.kind == DeviceKind::kCpu && device.precision == Precision::kMixed && !cpu_has_bf16()) {
    return "needs a processor with AVX512-BF16";
  }
  return "";
}

}  // namespace reel::test
