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

/// 1 / (1 + exp(-x)) = 1/2 + 1/2 tanh(x/2), and the slopes of it and of tanh, from their values.
__device__ inline float sigmoid(float x) { return fmaf(0.5f, tanh_rational(__fmul_rn(0.5f, x)), 0.5f); }
__device__ inline float sigmoid_slope(float y) { return fmaf(-y, y, y); }
__device__ inline float tanh_slope(float y) { return fmaf(-y, y, 1.0f); }

/// One step of a unit of a gated cell: what it reads and writes, `hidden` floats apart from gate to gate.
struct GatedStep {
  const float *x, *product;  // projected input, W_hh . h
  const float* b_hh;         // GRU
  float h, c;                // before the step; c: LSTM
  float* saved;              // or null
};

/// h'; an LSTM's c becomes c'.
template <Cell kCell>
__device__ inline float run_gated_step(GatedStep& s, int hidden) {
  const auto gate = [&](int g) { return s.product[g * hidden] + s.x[g * hidden]; };
  const auto keep = [&](int g, float value) {
    if (s.saved != nullptr) s.saved[g * hidden] = value;
  };
  if constexpr (kCell == Cell::kLstm) {
    const float i = sigmoid(gate(0)), f = sigmoid(gate(1)), g = tanh_rational(gate(2)), o = sigmoid(gate(3));
    s.c = fmaf(f, s.c, __fmul_rn(i, g));
    keep(0, i);
    keep(1, f);
    keep(2, g);
    keep(3, o);
    keep(4, s.c);
    return __fmul_rn(o, tanh_rational(s.c));
  } else {
    static_assert(kCell == Cell::kGru);
    const float r = sigmoid(gate(0)), z = sigmoid(gate(1)), m = s.product[2 * hidden] + *s.b_hh;
    const float n = tanh_rational(fmaf(r, m, s.x[2 * hidden]));
    keep(0, r);
    keep(1, z);
    keep(2, n);
    keep(3, m);
    return fmaf(z, s.h - n, n);
  }
}

/// The same step on the way back.
struct GatedStepBack {
  const float* saved;
  float h, c;    // before the step; c: LSTM
  float* carry;  // in/out: what the step before gets past W_hh: dc of LSTM, part of dh of GRU
  float *d_input, *d_recurrent;
};

/// d_h: the gradient of the unit's state but for what is carried.
template <Cell kCell>
__device__ inline void run_gated_step_back(const GatedStepBack& s, float d_h, int hidden) {
  const auto saved = [&](int g) { return s.saved[g * hidden]; };
  const auto store = [&](int g, float value) { s.d_input[g * hidden] = value; };
  if constexpr (kCell == Cell::kLstm) {
    const float i = saved(0), f = saved(1), g = saved(2), o = saved(3), squashed = tanh_rational(saved(4));
    const float d_c = fmaf(__fmul_rn(d_h, o), tanh_slope(squashed), *s.carry);
    store(0, __fmul_rn(__fmul_rn(d_c, g), sigmoid_slope(i)));
    store(1, __fmul_rn(__fmul_rn(d_c, s.c), sigmoid_slope(f)));
    store(2, __fmul_rn(__fmul_rn(d_c, i), tanh_slope(g)));
    store(3, __fmul_rn(__fmul_rn(d_h, squashed), sigmoid_slope(o)));
    *s.carry = __fmul_rn(d_c, f);
  } else {
    static_assert(kCell == Cell::kGru);
    d_h += *s.carry;
    const float r = saved(0), z = saved(1), n = saved(2), m = saved(3);
    const float d_n = __fmul_rn(fmaf(-d_h, z, d_h), tanh_slope(n));
    const float d_r = __fmul_rn(__fmul_rn(d_n, m), sigmoid_slope(r));
    const float d_z = __fmul_rn(__fmul_rn(d_h, s.h - n), sigmoid_slope(z));
    store(0, d_r);
    store(1, d_z);
    store(2, d_n);
    s.d_recurrent[0] = d_r;
    s.d_recurrent[hidden] = d_z;
    s.d_recurrent[2 * hidden] = __fmul_rn(d_n, r);
    *s.carry = __fmul_rn(d_h, z);
  }
}

/// dz, from the gradient of the state that followed and that state.
template <Cell kCell>
__device__ inline float input_gradient(float d_h, float h) {
  static_assert(kCell == Cell::kTanh || kCell == Cell::kRelu);
  if constexpr (kCell == Cell::kTanh) return __fmul_rn(d_h, fmaf(-h, h, 1.0f));
  return h > 0 ? d_h : 0.0f;
}

}  // namespace reel::cuda
