// The devices that one body of tests runs on: the CPU and a CUDA device, which the program's link decides: the emulator
// of the CUDA kernels, or a GPU.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/make_backend.h"
#include "tests/kernels/tolerances.h"
#include "tests/support/cuda_device.h"

namespace reel::test {

struct TestDevice {
  std::string name;  // "Cpu", "EmulatorMixed", "GpuCudnn"
  DeviceKind kind = DeviceKind::kCpu;
  Precision precision = Precision::kFloat32;
  MixedProducts mixed_products = MixedProducts::kAuto;
  Tolerances tolerances = kFloat32;
  Recurrence recurrence = Recurrence::kReel;
  bool timings = false;

  std::unique_ptr<Backend<float>> make() const;
};
std::ostream& operator<<(std::ostream& out, const TestDevice& device);

/// The CUDA device, as in "Emulator" + "Mixed".
TestDevice cuda_device(const std::string& suffix = "", Precision precision = Precision::kFloat32,
                       Recurrence recurrence = Recurrence::kReel);
/// All of them, whether this machine has them or not: a test of one that is missing skips, by name.
std::vector<TestDevice> all_devices();

/// Why a device cannot be used here, or nothing.
std::string why_not(const TestDevice& device);

}  // namespace reel::test

/// Skips the test unless the device can be used.
#define REEL_REQUIRE_DEVICE(device) \
  if (const std::string why = ::reel::test::why_not(device); !why.empty()) GTEST_SKIP() << (device).name << ": " << why
