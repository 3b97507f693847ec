// cuDNN's recurrent layer, as far as --recurrence cudnn needs it. cuDNN is loaded when one is made.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/contract/recurrence.h"
#include "kernels/cuda/device.h"
#include "kernels/make_backend.h"

namespace reel::cuda {

class Platform;

/// The algorithm of cuDNN that runs: what was asked for or, for kCudnn, small H up to 256, of cells of several gates up
/// to 128, else standard. (PyTorch takes small H forward up to 384 and back up to 256, of several gates up to 192 and
/// 128; here both passes share what the forward pass keeps.)
Recurrence cudnn_algorithm(Recurrence asked, Cell cell, std::int64_t hidden);
/// "standard", "persist static", ...
const char* name_of_cudnn_algorithm(Recurrence algorithm);

/// A direction of a layer, over T full steps: padding is the caller's matter.
struct CudnnLayer {
  Cell cell = Cell::kTanh;
  SequenceShape shape;
  /// E of an input that cuDNN projects, as every cell of several gates wants it; 0: of H, which is projected already.
  std::int64_t embedding = 0;
  const float* h = nullptr;  // [T+1, B, H], h[0] is given; by its address the layer is known again

  std::int64_t input_width() const { return embedding > 0 ? embedding : shape.hidden; }  // W
};

/// Where cuDNN has a layer's parameters, or their gradients, by gate in PyTorch's order; null: nowhere. Its biases
/// begin as 0.
struct CudnnParameters {
  static constexpr std::size_t kMostGates = 4;
  struct Gate {
    float *w_ih, *w_hh, *b_ih, *b_hh;  // [H, E], [H, H], [H], [H]
  };
  std::array<Gate, kMostGates> gates;
};

/// All pointers are device memory, float32; Precision::kMixed lets cuDNN round products to fp16. Errors are thrown as
/// Error, in one line that names the algorithm and H.
class Cudnn {
 public:
  /// Throws Error where cuDNN cannot be loaded.
  Cudnn(Platform& platform, Recurrence recurrence, Precision precision);
  ~Cudnn();
  Cudnn(const Cudnn&) = delete;
  Cudnn& operator=(const Cudnn&) = delete;

  /// To be written before forward(), and left until after backward(). gradients() has none but of a layer whose input
  /// cuDNN projects: room for that input, [T, B, E], is there too.
  const CudnnParameters& parameters(const CudnnLayer& layer);
  const CudnnParameters& gradients(const CudnnLayer& layer);
  float* input(const CudnnLayer& layer);

  /// Writes y [T, B, H], which is h[1..T], for x [T, B, W] and, of LSTM, `final_c` [B, H] unless it is null;
  /// `initial_c` [B, H], which must be other memory, is 0 if it is null. Keeps what backward() needs.
  void forward(const CudnnLayer& layer, const float* x, float* y, const float* initial_c, float* final_c);
  /// Of the forward() before it: d_y [T, B, H] is the gradient of the loss by y. Writes dx [T, B, W], and `d_h0` and of
  /// LSTM `d_c0`, [B, H], which cuDNN wants room for.
  void backward(const CudnnLayer& layer, const float* initial_c, const float* d_y, float* dx, float* d_h0, float* d_c0);
  /// Writes gradients(), after backward().
  void backward_parameters(const CudnnLayer& layer, const float* x);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace reel::cuda
