// How the rest of Reel reaches the CUDA backend. Plain C++: a build without it has kernels/no_cuda.cpp instead.
#pragma once

#include <memory>
#include <string>

#include "kernels/make_backend.h"

namespace reel {

struct CudaDevice {
  bool usable = false;
  std::string text;  // "NVIDIA H200, compute capability 9.0, 139 GiB", or why none can be used
};

CudaDevice query_cuda_device();  // without starting to use it
/// Throws Error, in one line, where no device can be used.
std::unique_ptr<Backend<float>> make_cuda_backend(const BackendOptions& options);

}  // namespace reel
