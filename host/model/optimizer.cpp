#include "host/model/optimizer.h"

#include <algorithm>

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

template <class Real>
Optimizer<Real>::Optimizer(Backend<Real>& backend, const OptimizerSettings& settings, std::int64_t parameter_count)
    : backend_(backend), settings_(settings) {
  state1_ = backend.template allocate<Real>(parameter_count);
  if (settings.has_state2()) state2_ = backend.template allocate<Real>(parameter_count);
  scale_ = backend.template allocate<Real>(1);
  if (settings.kind == OptimizerKind::kAdagrad && settings.convention == Convention::kKeras) {
    const std::vector<Real> start(static_cast<std::size_t>(parameter_count), static_cast<Real>(0.1));
    backend.upload(std::span<const Real>(start), state1_.span());
  }
}

template <class Real>
void Optimizer<Real>::step(Model<Real>& model, double learning_rate, const Clipping& clipping,
                           std::span<BatchStats> stats) {
  ++steps_;
  const ParameterGradient<Real> gradient = model.gradient();
  backend_.run(ClipGradient<Real>{.gradient = gradient,
                                  .clip_value = clipping.value,
                                  .clip_norm = clipping.norm,
                                  .scale = scale_.span(),
                                  .stats = stats});
  backend_.run(OptimizerStep<Real>{.settings = settings_,
                                   .step = steps_,
                                   .learning_rate = learning_rate,
                                   .gradient = gradient,
                                   .scale = scale_.span(),
                                   .parameters = model.parameters(),
                                   .state1 = state1_.span(),
                                   .state2 = state2_.span()});
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace reel
