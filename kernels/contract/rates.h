// The numbers of one optimizer step, from its settings and its learning rate (kernels/optimizer_rates.h): both backends
// apply the same rules with them.
#pragma once

namespace reel {

/// Every rule first takes weight decay: coupled, g += decay w (PyTorch but for AdamW), or decoupled, w -= shrink w.
/// Formulas: keras/src/optimizers and torch/optim, see the table in host/model/optimizer.h.
template <class Real>
struct OptimizerRates {
  Real decay = 0, shrink = 0;
  Real momentum = 0;
  /// Adam: s1 += rest1 (g - s1); s2 += rest2 (g^2 - s2); RMSprop: s1 += rest2 (g^2 - s1).
  Real rest1 = 0, rest2 = 0;
  /// Adam: w -= step_rate s1 / (root_scale sqrt(s2) + outside). Others: root = sqrt(s1 + inside) + outside.
  Real root_scale = 1, inside = 0, outside = 0;
  /// A move is scaled by move_rate when it enters the momentum, by step_rate when it leaves it.
  Real move_rate = 1, step_rate = 1;
  bool nesterov = false;
};

/// Where a gradient is 0, most elements need neither root nor division for the same bits: Adam's where what it would
/// subtract, step_rate |s1| / (root_scale sqrt(s2) + outside), is too little to round w to another number; RMSprop's
/// and Adagrad's where 0 / root is 0. These bounds hold for all of the last steps, whichever of them an element lacks:
/// |s1| only shrinks, and |w| and s2 keep at least a known share of themselves.
template <class Real>
struct IdleBounds {
  bool possible = false;   // of some elements: none has a gradient from weight decay, and rates are of the usual kind
  Real step_rate = 0;      // the largest
  Real rounding = 0;       // what |w| times this is more than does change w, with a margin of 2
  Real root_scale = 0;     // the least, of what is left of sqrt(s2)
  Real least_squares = 0;  // what is left of a smaller s2, or of its last bit squared, may be denormal
  Real outside = 0;
};

/// Where Adam's gradient is 0, root and denominator follow from those of the step before, nearly: sqrt(s2) falls by the
/// same factor each step. Both bounds below are for all of the last steps, as above.
template <class Real>
struct DecayBounds {
  bool possible = false;
  Real root_factor = 1, inverse_factor = 1;  // of sqrt(s2) in a step, and of 1 / sqrt(s2)
  Real least_s1 = 0;  // what is left of step_rate |s1| of a smaller one may be denormal, as above
};

/// Of one step, as they stand in backend memory.
template <class Real>
struct alignas(16) StepRates {  // read by vectors
  OptimizerRates<Real> rates;
  IdleBounds<Real> idle;
  DecayBounds<Real> decay;
};

}  // namespace reel
