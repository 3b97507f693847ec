// Pooling, dropout, the output layer and the loss.
#pragma once

#include <utility>

#include "host/model/batch.h"
#include "host/model/parameter_store.h"
#include "host/model/recurrent_layer.h"

namespace reel {

template <class Real>
class Head {
 public:
  /// Keeps references to both.
  Head(ParameterStore<Real>& store, const Batch& batch)
      : store_(store),
        batch_(batch),
        width_(store.config().pooled_width()),
        pooled_(store.backend().template allocate<Real>(batch.largest().batch * width_)),
        logits_(store.backend().template allocate<Real>(batch.largest().batch * store.config().outputs)),
        d_state_(store.backend().template allocate<Real>(batch.largest().batch * width_)) {
    if (!has_maximum(store.config().pool)) return;
    argmax_ = store.backend().template allocate<std::int32_t>(batch.largest().batch * store.config().output_width());
  }

  /// Of the top layer's states; logits() is valid afterwards.
  void forward(RecurrentLayer<Real>& top) {
    const std::int64_t B = batch_.shape().batch;
    store_.backend().run(HeadForward<Real>{.shape = batch_.sequences(store_.config().hidden),
                                           .lengths = batch_.lengths(),
                                           .h = top.states(0),
                                           .h_reverse = top.states(1),
                                           .pool = store_.config().pool,
                                           .dropout = batch_.options().dropout,
                                           .dropout_key = dropout_key(),
                                           .clock = batch_.options().clock,
                                           .fc_weight = store_.value(store_.layout().fc_weight),
                                           .fc_bias = store_.value(store_.layout().fc_bias),
                                           .pooled = pooled_.first(B * width_),
                                           .argmax = argmax(),
                                           .logits = logits_.first(B * store_.config().outputs),
                                           .packed = top.packed()});
  }
  std::span<const Real> logits() const {  // [B, C]
    return logits_.first(batch_.shape().batch * store_.config().outputs);
  }

  /// [C] in host memory, see HeadBackward.
  void set_positive_weights(std::span<const float> weights) {
    positive_weights_ = store_.backend().template allocate<float>(static_cast<std::int64_t>(weights.size()));
    store_.backend().upload(weights, positive_weights_.span());
  }

  /// Loss and accuracy of the batch, after forward(), and the gradients of the head's parameters. `stats` [1], or with
  /// the batch's clock as many as it has slots for.
  void backward(std::span<BatchStats> stats) {
    const std::int64_t size = batch_.shape().batch * width_;
    store_.backend().run(HeadBackward<Real>{.shape = batch_.sequences(store_.config().hidden),
                                            .directions = store_.config().directions(),
                                            .loss = store_.config().loss(),
                                            .labels = batch_.labels(),
                                            .targets = batch_.targets(),
                                            .weights = batch_.weights(),
                                            .positive_weights = std::as_const(positive_weights_).span(),
                                            .logits = logits(),
                                            .stats = stats,
                                            .lengths = batch_.lengths(),
                                            .pooled = pooled_.first(size),
                                            .fc_weight = store_.value(store_.layout().fc_weight),
                                            .pool = store_.config().pool,
                                            .dropout = batch_.options().dropout,
                                            .dropout_key = dropout_key(),
                                            .clock = batch_.options().clock,
                                            .d_fc_weight = store_.gradient(store_.layout().fc_weight),
                                            .d_fc_bias = store_.gradient(store_.layout().fc_bias),
                                            .d_state = d_state_.first(size)});
  }
  /// What flows back into the states of a direction, after backward().
  OutputGradient<Real> d_states(std::size_t direction) {
    return output_gradient<Real>(store_.config().pool, store_.config().directions(),
                                 static_cast<std::int64_t>(direction), d_state_.first(batch_.shape().batch * width_),
                                 argmax());
  }

 private:
  std::span<std::int32_t> argmax() {
    return argmax_.first(argmax_.size() == 0 ? 0 : batch_.shape().batch * store_.config().output_width());
  }
  RandomKey dropout_key() const {
    return {.seed = batch_.options().seed, .stream = RandomStream::kDropout, .step = batch_.options().step};
  }

  ParameterStore<Real>& store_;
  const Batch& batch_;
  std::int64_t width_;                      // P
  Buffer<Real> pooled_, logits_, d_state_;  // [B, P], [B, C], [parts, D, B, H]
  Buffer<float> positive_weights_;          // [C] or empty
  Buffer<std::int32_t> argmax_;             // [D, B, H] or empty
};

}  // namespace reel
