// The one table of tolerances: the largest difference from float64 arithmetic that a backend may show, relative to the
// largest magnitude in the tensor.
#pragma once

namespace reel::test {

struct Tolerances {
  double forward;    // projections, states, logits, loss
  double gradient;   // everything that went through time backwards
  double optimizer;  // one step's parameters and state
};

constexpr Tolerances kFloat64{4e-15, 2e-14, 1e-14};
constexpr Tolerances kFloat32{4e-6, 2e-5, 2e-6};
constexpr Tolerances kMixed{4e-3, 2e-2, 2e-6};     // fp16 states, bfloat16 gradients, tanh.approx
constexpr Tolerances kBfloat16{1e-2, 2e-2, 2e-6};  // bfloat16 states too: they round 8 times as coarsely as fp16

template <class Real>
constexpr Tolerances kTolerances = sizeof(Real) == sizeof(float) ? kFloat32 : kFloat64;

}  // namespace reel::test
