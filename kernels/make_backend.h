// Backends by device.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace reel {

/// The CPU twin; `threads` 0 means every core this process may use. Instances: float, and double for gradient checks.
template <class Real>
std::unique_ptr<Backend<Real>> make_cpu_backend(int threads = 0, bool timings = false);

/// What this machine offers: a CUDA device if Reel can use one, else the CPU.
DeviceKind best_device();
/// The CUDA device, or "none: " and why, for people.
std::string describe_cuda();

/// Whose kernels run the recurrence on a CUDA device: Reel's, or cuDNN's RNN with one of its algorithms
/// (cudnnRNNAlgo_t). kCudnn takes that which PyTorch would: small H up to 384, else standard.
enum class Recurrence {
  kReel,
  kCudnn,
  kCudnnStandard,
  kCudnnPersistStatic,
  kCudnnPersistDynamic,
  kCudnnPersistSmallHidden
};

struct BackendOptions {
  DeviceKind device = DeviceKind::kCpu;
  Precision precision = Precision::kFloat32;
  Recurrence recurrence = Recurrence::kReel;
  int threads = 0;     // of the CPU; 0: every core this process may use
  bool graphs = true;  // training steps as CUDA graphs; timings need them off
  bool timings = false;
};

/// float on any device. Throws Error with one clear line where the device, or the precision on it, cannot be had.
std::unique_ptr<Backend<float>> make_backend(const BackendOptions& options);

}  // namespace reel
