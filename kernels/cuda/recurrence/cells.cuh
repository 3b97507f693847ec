// The arithmetic of the cells (kernels/contract/cells.h), that of kernels/cpu/cells-inl.h: CPU, GPU and emulator agree
// to the bit.
#pragma once

#include <cuda_ptx.h>

#include "kernels/contract/cells.h"
#include "kernels/cuda/device.h"

namespace reel::cuda {

/// n / q as IEEE 754 rounds it, without the branch that a division has for what does not occur here: of the numerators
/// and denominators of tanh_rational() and any reciprocal within two ulps (tests/emulator/cells_test.cpp tries them
/// all). A Newton step makes the reciprocal exact and the quotient nearly so; its remainder, which is exact, says the
/// rest. Negated as it stands, so that -0 stays -0.
__device__ inline float quotient(float n, float q) {
  const float approx = reciprocal_approx(q), error = fmaf(-q, approx, 1.0f), first = __fmul_rn(n, approx);
  const float reciprocal = fmaf(error, approx, approx), nearly = fmaf(error, first, first);
  return fmaf(-fmaf(q, nearly, -n), reciprocal, nearly);
}

/// x P(x^2) / Q(x^2) on [-8, 8], constant outside; within 3e-7 of tanh and never beyond +-1.
__device__ inline float tanh_rational(float x) {
  x = max_or_nan(-8.0f, min_or_nan(8.0f, x));
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
  return quotient(__fmul_rn(x, p), q);
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

/// One of the four numbers of a unit that next_gated_state() takes: LSTM's gates i, f, g and o, or GRU's r, z, m and
/// its candidate's input. From W_hh . h and the projected input of gate `g`; of GRU's m without the latter, with the
/// bias b_hh, and of g = 3 the input of gate 2 as it is.
template <Cell kCell>
__device__ inline float gate_value(int g, float product, float x, float b_hh) {
  static_assert(kCell == Cell::kGru || kCell == Cell::kLstm);
  const float z = product + x;
  const bool squashed = g == 2;
  const float y = tanh_rational(squashed ? z : __fmul_rn(0.5f, z));  // as in sigmoid()
  const float value = squashed ? y : fmaf(0.5f, y, 0.5f);
  return kCell == Cell::kLstm || g < 2 ? value : g == 2 ? product + b_hh : x;
}

/// The same within what fp16 can tell, but for gate 1: how much is kept from step to step, where errors add up.
template <Cell kCell>
__device__ inline float gate_value_approx(int g, float product, float x, float b_hh) {
  static_assert(kCell == Cell::kGru || kCell == Cell::kLstm);
  const float z = product + x;
  if (g == 1) return sigmoid(z);
  if (kCell == Cell::kGru && g >= 2) return g == 2 ? product + b_hh : x;
  return g == 2 ? tanh_approx(z) : fmaf(0.5f, tanh_approx(__fmul_rn(0.5f, z)), 0.5f);
}

/// h', from those and h; an LSTM's c becomes c'. `gates` becomes what is saved, but for c'.
template <Cell kCell, bool kExact = true>
__device__ inline float next_gated_state(float (&gates)[4], float h, float& c) {
  const auto squash = [](float x) { return kExact ? tanh_rational(x) : tanh_approx(x); };
  if constexpr (kCell == Cell::kLstm) {
    c = fmaf(gates[1], c, __fmul_rn(gates[0], gates[2]));
    return __fmul_rn(gates[3], squash(c));
  } else {
    const float m = gates[2], n = squash(fmaf(gates[0], m, gates[3]));
    gates[2] = n;
    gates[3] = m;
    return fmaf(gates[1], h - n, n);
  }
}

/// What flows back into the gates of a unit in one step.
struct GateGradients {
  float d_input[4];
  float d_candidate;  // of GRU's gate 2 on the side of W_hh; the others are one on both sides

  template <Cell kCell>
  __device__ float recurrent(int g) const {
    return kCell == Cell::kGru && g == 2 ? d_candidate : d_input[g];
  }
};

/// From what was saved, c (LSTM) or h (GRU) before the step, and d_h, the gradient of the state that followed but for
/// what is carried: what the step before gets past W_hh, dc of LSTM, part of dh of GRU.
template <Cell kCell, bool kExact = true>
__device__ inline GateGradients gate_gradients(const float (&saved)[traits(kCell).saved], float before, float d_h,
                                               float& carry) {
  GateGradients d{};
  if constexpr (kCell == Cell::kLstm) {
    const auto [i, f, g, o, c] = saved;
    const float squashed = kExact ? tanh_rational(c) : tanh_approx(c);
    const float d_c = fmaf(__fmul_rn(d_h, o), tanh_slope(squashed), carry);
    d.d_input[0] = __fmul_rn(__fmul_rn(d_c, g), sigmoid_slope(i));
    d.d_input[1] = __fmul_rn(__fmul_rn(d_c, before), sigmoid_slope(f));
    d.d_input[2] = __fmul_rn(__fmul_rn(d_c, i), tanh_slope(g));
    d.d_input[3] = __fmul_rn(__fmul_rn(d_h, squashed), sigmoid_slope(o));
    carry = __fmul_rn(d_c, f);
  } else {
    static_assert(kCell == Cell::kGru);
    d_h += carry;
    const auto [r, z, n, m] = saved;
    const float d_n = __fmul_rn(fmaf(-d_h, z, d_h), tanh_slope(n));
    d.d_input[0] = __fmul_rn(__fmul_rn(d_n, m), sigmoid_slope(r));
    d.d_input[1] = __fmul_rn(__fmul_rn(d_h, before - n), sigmoid_slope(z));
    d.d_input[2] = d_n;
    d.d_candidate = __fmul_rn(d_n, r);
    carry = __fmul_rn(d_h, z);
  }
  return d;
}

/// dz, from the gradient of the state that followed and that state.
template <Cell kCell>
__device__ inline float input_gradient(float d_h, float h) {
  static_assert(kCell == Cell::kTanh || kCell == Cell::kRelu);
  if constexpr (kCell == Cell::kTanh) return __fmul_rn(d_h, fmaf(-h, h, 1.0f));
  return h > 0 ? d_h : 0.0f;
}

}  // namespace reel::cuda
