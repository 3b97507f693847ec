// The nonlinearities, with the arithmetic of kernels/cpu/tanh-inl.h: CPU, GPU and emulator agree to the bit.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

namespace reel::cuda {

/// x P(x^2) / Q(x^2) on [-8, 8], constant outside; within 3e-7 of tanh and never beyond +-1.
__device__ inline float tanh_rational(float x) {
  if (x != x) return x;
  x = fmaxf(-8.0f, fminf(8.0f, x));
  const float s = __fmul_rn(x, x);
  float p = 1.52309063e-08f;
  p = fmaf(p, s, 2.18950718e-05f);
  p = fmaf(p, s, 0.00357162533f);
  p = fmaf(p, s, 0.13444522f);
  p = fmaf(p, s, 1.0f);
  float q = 8.52266453e-07f;
  q = fmaf(q, s, 0.000341133506f);
  q = fmaf(q, s, 0.0261645485f);
  q = fmaf(q, s, 0.467778504f);
  q = fmaf(q, s, 1.0f);
  return __fdiv_rn(__fmul_rn(x, p), q);
}

template <Nonlinearity kNonlinearity>
__device__ inline float activate(float x) {
  if constexpr (kNonlinearity == Nonlinearity::kTanh) return tanh_rational(x);
  return x < 0 ? 0.0f : x;  // keeps NaN
}

/// d * the derivative of the nonlinearity where its value is `h`.
template <Nonlinearity kNonlinearity>
__device__ inline float through_activation(float d, float h) {
  if constexpr (kNonlinearity == Nonlinearity::kTanh) return __fmul_rn(d, fmaf(-h, h, 1.0f));
  return h > 0 ? d : 0.0f;
}

}  // namespace reel::cuda
