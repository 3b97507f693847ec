// Backends by device.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "kernels/backend.h"

namespace reel {

/// "auto", "float32", "bf16", "amx"
const char* name_of(MixedProducts products);
/// What kMixed multiplies on this processor under MixedProducts::kAuto.
MixedProducts fastest_mixed_products();
/// Whether this processor can multiply so; kAuto: whether it knows bfloat16 at all, which kMixed needs unless it is
/// told what to multiply.
bool cpu_has(MixedProducts products);
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
  MixedProducts mixed_products = MixedProducts::kAuto;  // of kMixed on the CPU
  Recurrence recurrence = Recurrence::kReel;
  int threads = 0;     // of the CPU; 0: every core this process may use
  bool graphs = true;  // training steps as CUDA graphs; timings need them off
  bool timings = false;
  /// Once it is no longer 0, long operations of the CPU throw Interrupted, and what they were to write is undefined;
  /// those that write parameters finish. It must outlive the backend.
  const std::atomic<int>* interrupted = nullptr;
};

/// The CPU backend, whatever options.device says. Instances: float, and double for gradient checks, to which kMixed
/// means nothing. Throws Error for kMixed on a processor that cannot multiply so.
template <class Real>
std::unique_ptr<Backend<Real>> make_cpu_backend(const BackendOptions& options);
template <class Real>
std::unique_ptr<Backend<Real>> make_cpu_backend(int threads = 0) {
  return make_cpu_backend<Real>(BackendOptions{.threads = threads});
}

/// float on any device. Throws Error with one clear line where the device, or the precision on it, cannot be had.
std::unique_ptr<Backend<float>> make_backend(const BackendOptions& options);

}  // namespace reel
