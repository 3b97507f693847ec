// How the rest of Reel reaches the CUDA backend. Plain C++.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/make_backend.h"

namespace reel {

struct CudaDevice {
  bool usable = false;
  std::string text;  // "NVIDIA H200, compute capability 9.0, 139 GiB", or why none can be used
};

namespace cuda_device {
CudaDevice query_cuda_device();  // without starting to use it
/// Throws Error, in one line, where no device can be used.
std::unique_ptr<Backend<float>> make_cuda_backend(const BackendOptions& options);
}  // namespace cuda_device

/// The same kernels on the CPU: tests/emulator/, linked by tests alone.
namespace cuda_emulated {
std::unique_ptr<Backend<float>> make_cuda_backend(const BackendOptions& options);
/// The ranges that began while a profile was recorded, since the last call.
std::vector<std::string> take_profiled_ranges();
}  // namespace cuda_emulated

}  // namespace reel
