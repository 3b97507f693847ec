// Matrix products by cuBLAS, which is loaded when a backend is made: commands that compute nothing start fast, and no
// CUDA library is needed without a GPU.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace reel::cuda {

/// C [m, n] = A [m, k] . B [k, n] + beta C, row-major in float32; A and B may be given transposed, then they lie in
/// memory as [k, m] and [n, k].
struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  const float* b = nullptr;
  float* c = nullptr;
  bool a_transposed = false;
  bool b_transposed = false;
  float beta = 0;
  /// On tensor cores: A and B are rounded to TF32, whose mantissa is fp16's and whose exponents are float32's.
  bool tensor_cores = false;
};

class Cublas {
 public:
  /// What NVIDIA recommends for Hopper.
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

  /// `workspace` is kWorkspaceBytes of device memory, which outlives the object. Throws Error where cuBLAS cannot be
  /// loaded.
  Cublas(cudaStream_t stream, void* workspace);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  /// Enqueues the product. Fixed order of summation: the same bits for the same shapes.
  void product(const Product& product) const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace reel::cuda
