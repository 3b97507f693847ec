// The one table of tolerances: the largest difference from float64 arithmetic that a backend may show, relative to the
// largest magnitude in the tensor.
#pragma once

namespace reel::test {

template <class Real>
struct Tolerance;

template <>
struct Tolerance<float> {
  static constexpr double kForward = 4e-6;    // projections, states, logits, loss
  static constexpr double kGradient = 2e-5;   // everything that went through time backwards
  static constexpr double kOptimizer = 2e-6;  // one step's parameters and state
};

template <>
struct Tolerance<double> {
  static constexpr double kForward = 4e-15;
  static constexpr double kGradient = 2e-14;
  static constexpr double kOptimizer = 1e-14;
};

}  // namespace reel::test
