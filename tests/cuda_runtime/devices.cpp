// Devices: what there is, and what it can do.
#include "tests/cuda_runtime/devices.h"

#include <cstdio>

#include "tests/cuda_runtime/state.h"

namespace reel::runtime {

/// CUDA C++ Programming Guide, "Compute Capabilities": maximum amount of shared memory per thread block.
std::size_t shared_memory_per_block(const Device& device) {
  switch (10 * device.major + device.minor) {
    case 75:
      return 64 * 1024;
    case 80:
    case 87:
      return 163 * 1024;
    case 90:
    case 100:
    case 103:
      return 227 * 1024;
    default:
      return 99 * 1024;
  }
}

bool has_clusters(const Device& device) { return device.major >= 9; }

cudaError_t missing_device(const Device& device) {
  if (device.driver != Driver::kWorks) return cudaErrorInsufficientDriver;
  return device.count == 0 ? cudaErrorNoDevice : cudaSuccess;
}

}  // namespace reel::runtime

using namespace reel::runtime;

cudaError_t cudaGetDeviceCount(int* count) {
  return call([&](Runtime& r) {
    *count = 0;
    const cudaError_t error = missing_device(r.options.device);
    if (error == cudaSuccess) *count = r.options.device.count;
    return error;
  });
}

/// 0 where there is no driver.
cudaError_t cudaDriverGetVersion(int* version) {
  return call([&](Runtime& r) {
    constexpr int kOldDriver = 11040;
    const Driver driver = r.options.device.driver;
    *version = driver == Driver::kMissing ? 0 : driver == Driver::kTooOld ? kOldDriver : CUDART_VERSION;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int number) {
  return call([&](Runtime& r) {
    const cudaError_t error = missing_device(r.options.device);
    if (error != cudaSuccess) return error;
    return number < r.options.device.count ? cudaSuccess : cudaErrorInvalidDevice;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int number) {
  return call([&](Runtime& r) {
    const Device& device = r.options.device;
    const cudaError_t error = missing_device(device);
    if (error != cudaSuccess) return error;
    if (number >= device.count) return cudaErrorInvalidDevice;
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "emulator");
    properties->major = device.major;
    properties->minor = device.minor;
    properties->totalGlobalMem = device.memory;
    properties->multiProcessorCount = device.multiprocessors;
    properties->sharedMemPerBlock = kSharedMemoryWithoutAsking;
    properties->sharedMemPerBlockOptin = shared_memory_per_block(device);
    properties->regsPerBlock = kRegistersPerBlock;
    properties->maxThreadsPerBlock = kThreadsPerBlock;
    properties->clusterLaunch = has_clusters(device) ? 1 : 0;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int number) {
  return call([&](Runtime& r) {
    const Device& device = r.options.device;
    const cudaError_t error = missing_device(device);
    if (error != cudaSuccess) return error;
    if (number >= device.count) return cudaErrorInvalidDevice;
    if (attribute != cudaDevAttrClusterLaunch) return cudaErrorInvalidValue;  // the only one Reel asks for
    *value = has_clusters(device) ? 1 : 0;
    return cudaSuccess;
  });
}
