// cuBLAS's functions, in plain loops.
#include <cublas_v2.h>

#include <bit>
#include <cmath>
#include <map>
#include <vector>

#include "tests/cuda_runtime/libraries.h"
#include "tests/cuda_runtime/state.h"

namespace reel::runtime {
namespace {

struct Handle {
  cudaStream_t stream = nullptr;
  bool tf32 = false;
};
Handle* handle_of(cublasHandle_t handle) { return reinterpret_cast<Handle*>(handle); }

cublasStatus_t create(cublasHandle_t* handle) {
  auto* const made = new Handle;
  if (!add_library_handle(made, "cuBLAS handle")) {
    delete made;
    return CUBLAS_STATUS_ALLOC_FAILED;
  }
  *handle = reinterpret_cast<cublasHandle_t>(made);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t destroy(cublasHandle_t handle) {
  if (!remove_library_handle(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  delete handle_of(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t set_stream(cublasHandle_t handle, cudaStream_t stream) {
  handle_of(handle)->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t set_workspace(cublasHandle_t, void* workspace, std::size_t size) {
  return is_device_memory("cublasSetWorkspace", workspace, size) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t set_math_mode(cublasHandle_t handle, cublasMath_t mode) {
  handle_of(handle)->tf32 = mode == CUBLAS_TF32_TENSOR_OP_MATH;
  return handle_of(handle)->tf32 || mode == CUBLAS_DEFAULT_MATH ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

/// To the nearest with ten bits of mantissa, of two the even one.
float to_tf32(float value) {
  if (!std::isfinite(value)) return value;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0xFFF + ((bits >> 13) & 1)) & ~std::uint32_t{0x1FFF});
}

struct Matrices {
  bool a_transposed, b_transposed;
  int m, n, k;
  const float *a, *b;
  int lda, ldb;
  float beta;
  float* c;
  int ldc;
  bool tf32;  // a and b are rounded to it
};

/// Column-major: c [m, n] = op(a) [m, k] . op(b) [k, n] + beta c.
void multiply(const Matrices& p) {
  const auto at = [&p](const float* matrix, int ld, std::int64_t row, std::int64_t column) {
    const float value = matrix[row + column * ld];
    return p.tf32 ? to_tf32(value) : value;
  };
  const auto m = static_cast<std::size_t>(p.m);
  std::vector<float> a(m * static_cast<std::size_t>(p.k)), sums(m);  // op(a), column by column
  for (int x = 0; x < p.k; ++x) {
    for (int i = 0; i < p.m; ++i) {
      a[static_cast<std::size_t>(x) * m + static_cast<std::size_t>(i)] =
          p.a_transposed ? at(p.a, p.lda, x, i) : at(p.a, p.lda, i, x);
    }
  }
  for (int j = 0; j < p.n; ++j) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (int x = 0; x < p.k; ++x) {
      const float factor = p.b_transposed ? at(p.b, p.ldb, j, x) : at(p.b, p.ldb, x, j);
      const float* const column = a.data() + static_cast<std::size_t>(x) * m;
      for (std::size_t i = 0; i < m; ++i) sums[i] += factor * column[i];
    }
    for (std::size_t i = 0; i < m; ++i) {
      float& c = p.c[i + static_cast<std::size_t>(j) * static_cast<std::size_t>(p.ldc)];
      c = sums[i] + (p.beta == 0 ? 0.0f : p.beta * c);
    }
  }
}

cublasStatus_t sgemm(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n, int k,
                     const float* alpha, const float* a, int lda, const float* b, int ldb, const float* beta, float* c,
                     int ldc) {
  const bool a_transposed = transa == CUBLAS_OP_T, b_transposed = transb == CUBLAS_OP_T;
  if (*alpha != 1 || lda < (a_transposed ? k : m) || ldb < (b_transposed ? n : k) || ldc < m) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const auto bytes = [](int ld, int columns) {
    return sizeof(float) * static_cast<std::size_t>(ld) * static_cast<std::size_t>(columns);
  };
  if (!is_device_memory("cublasSgemm", a, bytes(lda, a_transposed ? m : k)) ||
      !is_device_memory("cublasSgemm", b, bytes(ldb, b_transposed ? k : n)) ||
      !is_device_memory("cublasSgemm", c, bytes(ldc, n))) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const Matrices args{a_transposed, b_transposed, m, n, k, a, b, lda, ldb, *beta, c, ldc, handle_of(handle)->tf32};
  const cudaError_t error = launch_library(handle_of(handle)->stream, "cublasSgemm", [args] { multiply(args); });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

template <class Function>
void* as_symbol(Function* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

void* cublas_function(const std::string& name) {
  static const std::map<std::string, void*> functions = {
      {"cublasCreate_v2", as_symbol(create)},          {"cublasDestroy_v2", as_symbol(destroy)},
      {"cublasSetStream_v2", as_symbol(set_stream)},   {"cublasSetWorkspace_v2", as_symbol(set_workspace)},
      {"cublasSetMathMode", as_symbol(set_math_mode)}, {"cublasSgemm_v2", as_symbol(sgemm)}};
  const auto found = functions.find(name);
  return found == functions.end() ? nullptr : found->second;
}

}  // namespace reel::runtime
