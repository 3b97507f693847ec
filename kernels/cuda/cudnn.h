// cuDNN's recurrent layer, as far as --recurrence cudnn needs it. cuDNN is loaded when one is made.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/contract/recurrence.h"
#include "kernels/cuda/device.h"
#include "kernels/make_backend.h"

namespace reel::cuda {

class Platform;

/// The algorithm of cuDNN that runs: what was asked for or, for kCudnn, small H up to 256, else standard. (PyTorch
/// takes small H forward up to 384 and back up to 256; here both passes share what the forward pass keeps.)
Recurrence cudnn_algorithm(Recurrence asked, std::int64_t hidden);
/// "standard", "persist static", ...
const char* name_of_cudnn_algorithm(Recurrence algorithm);

/// h[t+1, b] = act(x[t, b] + W_hh . h[t, b]) over T full steps: padding is the caller's matter. All pointers are device
/// memory, float32; Precision::kMixed lets cuDNN round products to fp16. Errors are thrown as Error, in one line that
/// names the algorithm and H.
class Cudnn {
 public:
  /// Throws Error where cuDNN cannot be loaded.
  Cudnn(Platform& platform, Recurrence recurrence, Precision precision);
  ~Cudnn();
  Cudnn(const Cudnn&) = delete;
  Cudnn& operator=(const Cudnn&) = delete;

  /// x [T, B, H], w_hh [H, H], h [T+1, B, H] of which h[0] is given. Keeps what backward() needs.
  void forward(Cell cell, const SequenceShape& shape, const float* x, const float* w_hh, float* h);
  /// Of the forward() before it: d_y [T, B, H] is the gradient of the loss by h[1..T]; dx [T, B, H] is written, and
  /// `d_h0` [B, H], which cuDNN wants room for. d_W_hh is left to the caller.
  void backward(Cell cell, const SequenceShape& shape, const float* w_hh, const float* h, const float* d_y, float* dx,
                float* d_h0);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace reel::cuda
