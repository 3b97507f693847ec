#include "tests/cuda_runtime/libraries.h"

#include "kernels/cuda/shared_library.h"
#include "kernels/error.h"
#include "tests/cuda_runtime/state.h"

namespace reel::runtime {

cudaError_t launch_library(cudaStream_t stream, const std::string& name, std::function<void()> work) {
  const cudaError_t error =
      call([&](Runtime&) { return enqueue(stream, name, [name, work] { return Work{.what = name, .run = work}; }); });
  return error != cudaSuccess ? error : cudaPeekAtLastError();
}

bool is_device_memory(const char* what, const void* address, std::size_t bytes) {
  MemoryKind kind{};
  if (locate(runtime(), address, bytes, kind) && kind == MemoryKind::kDevice) return true;
  violation(std::string(what) + " is given what is no device memory");
  return false;
}

bool add_library_handle(const void* handle, const std::string& what) {
  if (allocation_fails()) return false;
  runtime().library_handles[handle] = what;
  return true;
}

bool remove_library_handle(const void* handle) {
  if (runtime().library_handles.erase(handle) == 1) return true;
  violation("a library's handle that there is not is destroyed");
  return false;
}

}  // namespace reel::runtime

namespace reel::cuda {

/// Libraries that are always there: their functions are this program's.
SharedLibrary::SharedLibrary(std::string name, const std::string&) : name_(std::move(name)), library_(nullptr) {}

void* SharedLibrary::symbol(const char* function) const {
  void* const found = name_ == "cuBLAS" ? runtime::cublas_function(function) : runtime::cudnn_function(function);
  if (found == nullptr) throw Error("CUDA: " + name_ + " has no " + function);
  return found;
}

}  // namespace reel::cuda
