// Which CUDA device there is. Compiled when the CUDA toolkit is present.
#pragma once

#include <string>

namespace reel {

/// "NVIDIA H200, compute capability 9.0, 139 GiB", or why no device can be used.
std::string describe_cuda_device();

}  // namespace reel
