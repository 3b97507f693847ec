// Backends by device.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "kernels/backend.h"

namespace reel {

/// The CPU backend; `threads` 0 means every core this process may use. Instances: float, and double for gradient
/// checks. Throws Error for kMixed on a processor without AVX512-BF16; kMixed means nothing to double.
template <class Real>
std::unique_ptr<Backend<Real>> make_cpu_backend(int threads = 0, Precision precision = Precision::kFloat32,
                                                bool timings = false, const std::atomic<int>* interrupted = nullptr);

/// Whether the CPU can do Precision::kMixed.
bool cpu_has_bf16();
/// What this machine offers: a CUDA device if Reel can use one, else the CPU.
DeviceKind best_device();
/// The CUDA device, or "none: " and why, for people.
std::string describe_cuda();

/// Whose kernels run the recurrence on a CUDA device: Reel's, or cuDNN's RNN with one of its algorithms
/// (cudnnRNNAlgo_t). kCudnn takes small H up to H = 256, else standard.
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
  /// Once it is no longer 0, long operations of the CPU throw Interrupted, and what they were to write is undefined;
  /// those that write parameters finish. It must outlive the backend.
  const std::atomic<int>* interrupted = nullptr;
};

/// float on any device. Throws Error with one clear line where the device, or the precision on it, cannot be had.
std::unique_ptr<Backend<float>> make_backend(const BackendOptions& options);

}  // namespace reel
