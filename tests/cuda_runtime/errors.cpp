// Errors: what is remembered, and for how long.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <utility>

#include "tests/cuda_runtime/state.h"

namespace reel::runtime {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

}  // namespace

std::map<std::string, int> take_calls() { return std::exchange(runtime().calls, {}); }

cudaError_t call(const std::function<cudaError_t(Runtime&)>& body, const char* name) {
  Runtime& r = runtime();
  const std::lock_guard lock(r.mutex);
  ++r.calls[name];
  cudaError_t status = cudaSuccess;
  if (r.sticky == cudaSuccess) {
    progress(r);
    status = body(r);
  }
  if (r.sticky != cudaSuccess) status = r.sticky;  // perhaps of work that ran just now
  if (status != cudaSuccess) last_error = status;
  return status;
}

void reset() {
  Runtime& r = runtime();
  r.sticky = last_error = cudaSuccess;
  r.kernel_error.clear();
  r.streams.clear();
  r.destroyed_streams.clear();
  r.events.clear();
  r.graphs.clear();
  r.executables.clear();
  r.launched_last.clear();
  r.library_handles.clear();
  r.shared_memory_asked_for.clear();
  free_all_memory(r);
}

}  // namespace reel::runtime

using reel::runtime::runtime;

cudaError_t cudaGetLastError() {
  const cudaError_t error = reel::runtime::last_error;
  reel::runtime::last_error = runtime().sticky;
  return error;
}

cudaError_t cudaPeekAtLastError() { return reel::runtime::last_error; }

/// As the runtime words them; those that nobody is expected to read are named by their number.
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchOutOfResources:
      return "too many resources requested for launch";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    default: {
      static thread_local char text[32];
      std::snprintf(text, sizeof text, "CUDA error %d", static_cast<int>(error));
      return text;
    }
  }
}
