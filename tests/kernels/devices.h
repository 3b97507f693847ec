// The devices that one body of tests runs on: CPU, the emulator of the CUDA kernels, and the GPU.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/make_backend.h"
#include "tests/kernels/tolerances.h"

namespace reel::test {

struct TestDevice {
  enum class Kind { kCpu, kEmulator, kGpu };
  std::string name;  // "Cpu", "EmulatorMixed", "GpuCudnn"
  Kind kind = Kind::kCpu;
  Precision precision = Precision::kFloat32;
  Tolerances tolerances = kFloat32;
  Recurrence recurrence = Recurrence::kReel;
  bool timings = false;

  std::unique_ptr<Backend<float>> make() const;
};
std::ostream& operator<<(std::ostream& out, const TestDevice& device);

/// All of them, whether this machine has them or not: a test of one that is missing skips, by name.
std::vector<TestDevice> all_devices();

/// The ranges that began on the emulator while a profile was recorded, since the last call.
std::vector<std::string> take_profiled_ranges();

/// Why a device cannot be used here, or nothing.
std::string why_not(const TestDevice& device);

}  // namespace reel::test

/// Skips the test unless the device can be used.
#define REEL_REQUIRE_DEVICE(device) \
  if (const std::string why = ::reel::test::why_not(device); !why.empty()) GTEST_SKIP() << (device).name << ": " << why
