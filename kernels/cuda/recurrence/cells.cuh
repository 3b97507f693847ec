// The arithmetic of the cells (kernels/contract/cells.h), that of kernels/cpu/cells-inl.h: CPU, GPU and emulator agree
// to the bit.
#pragma once

#include <cuda_ptx.h>

#include "kernels/contract/cells.h"
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

/// The state that follows, from z = input + W_hh . h.
template <Cell kCell>
__device__ inline float next_state(float z) {
  static_assert(kCell == Cell::kTanh || kCell == Cell::kRelu);
  if constexpr (kCell == Cell::kTanh) return tanh_rational(z);
  return z < 0 ? 0.0f : z;  // keeps NaN
}

/// The same within what fp16 can tell, of a bounded cell.
template <Cell kCell>
__device__ inline float next_state_approx(float z) {
  static_assert(kCell == Cell::kTanh);
  return tanh_approx(z);
}

/// dz, from the gradient of the state that followed and that state.
template <Cell kCell>
__device__ inline float input_gradient(float d_h, float h) {
  static_assert(kCell == Cell::kTanh || kCell == Cell::kRelu);
  if constexpr (kCell == Cell::kTanh) return __fmul_rn(d_h, fmaf(-h, h, 1.0f));
  return h > 0 ? d_h : 0.0f;
}

}  // namespace reel::cuda
