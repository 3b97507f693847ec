// The emulator's cuDNN: the layer that kernels/cuda/cudnn.h describes, in plain loops.
#include "kernels/cuda/cudnn.h"

#include <cmath>
#include <vector>

#include "kernels/cuda/platform.h"

namespace reel::REEL_CUDA_BUILD {

struct Cudnn::Parts {};

Cudnn::Cudnn(Platform&, Recurrence, Precision) {}
Cudnn::~Cudnn() = default;

std::string Cudnn::algorithm(std::int64_t) const { return "emulated"; }

void Cudnn::forward(const Shape& shape, Nonlinearity nonlinearity, const float* x, const float* w_hh, float* h) {
  const auto [V, E, H, B, T] = shape;
  for (std::int64_t row = 0; row < T * B; ++row) {
    const float* const before = h + row * H;
    for (std::int64_t j = 0; j < H; ++j) {
      float z = x[row * H + j];
      for (std::int64_t k = 0; k < H; ++k) z += w_hh[j * H + k] * before[k];
      h[(row + B) * H + j] = nonlinearity == Nonlinearity::kTanh ? std::tanh(z) : std::fmax(z, 0.0f);
    }
  }
}

void Cudnn::backward(const Shape& shape, Nonlinearity nonlinearity, const float* w_hh, const float* h, const float* d_y,
                     float* dx, float* d_h0) {
  const auto [V, E, H, B, T] = shape;
  std::vector<float> d_h(static_cast<std::size_t>(B * H), 0.0f);  // of h[t+1], by what follows
  for (std::int64_t t = T - 1; t >= 0; --t) {
    for (std::int64_t i = 0; i < B * H; ++i) {
      const float y = h[(t + 1) * B * H + i];
      const float slope = nonlinearity == Nonlinearity::kTanh ? 1 - y * y : (y > 0 ? 1.0f : 0.0f);
      dx[t * B * H + i] = (d_h[static_cast<std::size_t>(i)] + d_y[t * B * H + i]) * slope;
    }
    for (std::int64_t i = 0; i < B * H; ++i) {
      const float* const dz = dx + t * B * H + i / H * H;
      float sum = 0;
      for (std::int64_t j = 0; j < H; ++j) sum += dz[j] * w_hh[j * H + i % H];
      d_h[static_cast<std::size_t>(i)] = sum;
    }
  }
  for (std::int64_t i = 0; i < B * H; ++i) d_h0[i] = d_h[static_cast<std::size_t>(i)];
}

}  // namespace reel::REEL_CUDA_BUILD
