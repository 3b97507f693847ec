#include "kernels/cuda/cublas.h"

#include <cublas_v2.h>

#include <string>

#include "kernels/cuda/shared_library.h"
#include "kernels/error.h"

namespace reel::cuda {
namespace {

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(std::string("CUDA: ") + what + ": cuBLAS status " + std::to_string(status));
}

}  // namespace

/// The functions that are called, and a handle.
struct Cublas::Library {
  SharedLibrary library{"cuBLAS", "libcublas.so." + std::to_string(CUBLAS_VER_MAJOR)};
  decltype(&cublasDestroy_v2) destroy = library.find<decltype(&cublasDestroy_v2)>("cublasDestroy_v2");
  decltype(&cublasSgemm_v2) sgemm = library.find<decltype(&cublasSgemm_v2)>("cublasSgemm_v2");
  decltype(&cublasSetMathMode) set_math_mode = library.find<decltype(&cublasSetMathMode)>("cublasSetMathMode");
  cublasHandle_t handle = nullptr;

  Library() = default;
  ~Library() {
    if (handle != nullptr) destroy(handle);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
};

Cublas::Cublas(cudaStream_t stream, void* workspace) : library_(std::make_unique<Library>()) {
  const SharedLibrary& library = library_->library;
  check(library.find<decltype(&cublasCreate_v2)>("cublasCreate_v2")(&library_->handle), "cublasCreate");
  const cublasHandle_t handle = library_->handle;
  check(library.find<decltype(&cublasSetStream_v2)>("cublasSetStream_v2")(handle, stream), "cublasSetStream");
  check(library.find<decltype(&cublasSetWorkspace_v2)>("cublasSetWorkspace_v2")(handle, workspace, kWorkspaceBytes),
        "cublasSetWorkspace");
}
Cublas::~Cublas() = default;

/// cuBLAS is column-major: it sees every matrix transposed, and computes C^T = B^T A^T.
void Cublas::product(const Product& p) const {
  const float one = 1;
  const auto transposed = [](bool yes) { return yes ? CUBLAS_OP_T : CUBLAS_OP_N; };
  check(library_->set_math_mode(library_->handle, p.tensor_cores ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH),
        "cublasSetMathMode");
  check(library_->sgemm(library_->handle, transposed(p.b_transposed), transposed(p.a_transposed), static_cast<int>(p.n),
                        static_cast<int>(p.m), static_cast<int>(p.k), &one, p.b,
                        static_cast<int>(p.b_transposed ? p.k : p.n), p.a, static_cast<int>(p.a_transposed ? p.m : p.k),
                        &p.beta, p.c, static_cast<int>(p.n)),
        "cublasSgemm");
}

}  // namespace reel::cuda
