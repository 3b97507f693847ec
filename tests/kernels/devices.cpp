#include "tests/kernels/devices.h"

namespace reel::test {

std::unique_ptr<Backend<float>> TestDevice::make() const {
  return make_backend({.device = kind,
                       .precision = precision,
                       .mixed_products = mixed_products,
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

namespace {

TestDevice cpu_mixed(const std::string& suffix, MixedProducts products) {
  return {
      .name = "CpuMixed" + suffix, .precision = Precision::kMixed, .mixed_products = products, .tolerances = kBfloat16};
}

}  // namespace

std::vector<TestDevice> all_devices() {
  std::vector<TestDevice> devices = {{.name = "Cpu"},
                                     cpu_mixed("Bf16", MixedProducts::kBf16),
                                     cpu_mixed("Amx", MixedProducts::kAmx),
                                     cuda_device(),
                                     cuda_device("Mixed", Precision::kMixed),
                                     cuda_device("Cudnn", Precision::kFloat32, Recurrence::kCudnn)};
  // One algorithm is like another to the emulator.
  if (!kEmulated) devices.push_back(cuda_device("CudnnStandard", Precision::kFloat32, Recurrence::kCudnnStandard));
  return devices;
}

std::string why_not(const TestDevice& device) {
  if (device.kind == DeviceKind::kCuda && best_device() != DeviceKind::kCuda) return describe_cuda();
  if (device.kind == DeviceKind::kCpu && device.precision == Precision::kMixed && !cpu_has(device.mixed_products)) {
    return device.mixed_products == MixedProducts::kAmx ? "needs a processor with AMX-BF16"
                                                        : "needs a processor with AVX512-BF16";
  }
  return "";
}

}  // namespace reel::test
