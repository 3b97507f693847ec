// cuBLAS, cuDNN and CUB as Reel calls them. Their work is enqueued like a kernel's. Like CUB's launches, theirs fail
// for an error that the runtime still remembers from a call before (the real cuBLAS and cuDNN have a runtime of their
// own).
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

namespace reel::runtime {

/// Enqueues `work`, which may touch device memory when it runs; returns what cudaPeekAtLastError() does.
cudaError_t launch_library(cudaStream_t stream, const std::string& name, std::function<void()> work);

/// Whether all of it is memory of the device; a violation if not.
bool is_device_memory(const char* what, const void* address, std::size_t bytes);

/// A handle or descriptor of a library, which has to be destroyed. False if this allocation is the one to fail.
bool add_library_handle(const void* handle, const std::string& what);
/// False, and a violation, where there is no such handle.
bool remove_library_handle(const void* handle);

/// A function by its name, or null.
void* cublas_function(const std::string& name);
void* cudnn_function(const std::string& name);

}  // namespace reel::runtime
