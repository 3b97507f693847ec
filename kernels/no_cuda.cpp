// The CUDA backend of a build without the CUDA toolkit: says so.
#include "kernels/check.h"
#include "kernels/cuda/backend.h"

namespace reel {

CudaDevice query_cuda_device() { return {false, "built without the CUDA toolkit"}; }

std::unique_ptr<Backend<float>> make_cuda_backend(const BackendOptions&) {
  fail("--device cuda: built without the CUDA toolkit; --device cpu works without");
}

}  // namespace reel
