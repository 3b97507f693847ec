#include "host/model/optimizer.h"

namespace reel {

// Keras:   keras/src/optimizers, defaults of each class's constructor.
// PyTorch: torch/optim, likewise. Formulas:
//
//            Keras                                                    PyTorch
//   Adam     lr sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + eps)             lr/(1-b1^t) m / (sqrt(v)/sqrt(1-b2^t) + eps)
//   decay    w -= lr wd w, every optimizer                            g += wd w; AdamW: w -= lr wd w
//   RMSprop  v = rho v + (1-rho) g^2; lr g / sqrt(v + eps)            lr g / (sqrt(v) + eps)
//   Adagrad  a = 0.1 + sum of g^2; lr g / sqrt(a + eps)               a = sum of g^2; lr g / (sqrt(a) + eps)
//   SGD      v = mu v - lr g; w += v                                  v = mu v + g; w -= lr v
OptimizerSettings default_settings(OptimizerKind kind, Convention convention) {
  const bool keras = convention == Convention::kKeras;
  OptimizerSettings settings{.kind = kind, .convention = convention};
  settings.epsilon = keras ? 1e-7 : kind == OptimizerKind::kAdagrad ? 1e-10 : 1e-8;
  settings.rho = keras ? 0.9 : 0.99;
  if (kind == OptimizerKind::kAdamW) settings.weight_decay = keras ? 0.004 : 0.01;
  return settings;
}

double default_learning_rate(OptimizerKind kind, Convention convention) {
  const bool keras = convention == Convention::kKeras;
  switch (kind) {
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      return 1e-3;
    case OptimizerKind::kSgd:
      return keras ? 1e-2 : 1e-3;
    case OptimizerKind::kRmsprop:
    case OptimizerKind::kAdagrad:
      return keras ? 1e-3 : 1e-2;
  }
  return 1e-3;
}

}  // namespace reel
