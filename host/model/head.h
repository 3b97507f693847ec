// Pooling, dropout, the output layer and the loss.
#pragma once

#include "host/model/batch.h"
#include "host/model/parameter_store.h"

namespace reel {

template <class Real>
class Head {
 public:
  /// Keeps references to both.
  Head(ParameterStore<Real>& store, const Batch& batch)
      : store_(store),
        batch_(batch),
        hidden_(store.config().hidden),
        pooled_(store.backend().template allocate<Real>(batch.largest().batch * hidden_)),
        logits_(store.backend().template allocate<Real>(batch.largest().batch)),
        d_state_(store.backend().template allocate<Real>(batch.largest().batch * hidden_)) {}

  /// Of the top layer's states [T+1, B, H]; logits() is valid afterwards.
  void forward(std::span<const Real> h) {
    const std::int64_t B = batch_.shape().batch;
    store_.backend().run(HeadForward<Real>{.shape = batch_.sequences(hidden_),
                                           .lengths = batch_.lengths(),
                                           .h = h,
                                           .pool = store_.config().pool,
                                           .dropout = batch_.options().dropout,
                                           .dropout_key = dropout_key(),
                                           .fc_weight = store_.value(store_.layout().fc_weight),
                                           .fc_bias = store_.value(store_.layout().fc_bias),
                                           .pooled = pooled_.first(B * hidden_),
                                           .logits = logits_.first(B)});
  }
  std::span<const Real> logits() const { return logits_.first(batch_.shape().batch); }  // [B]

  /// Loss and accuracy of the batch, after forward(), the gradients of the head's parameters, and what flows back into
  /// the states.
  OutputGradient<Real> backward(std::span<BatchStats> stats) {
    const std::int64_t size = batch_.shape().batch * hidden_;
    store_.backend().run(HeadBackward<Real>{.shape = batch_.sequences(hidden_),
                                            .labels = batch_.labels(),
                                            .logits = logits(),
                                            .stats = stats,
                                            .lengths = batch_.lengths(),
                                            .pooled = pooled_.first(size),
                                            .fc_weight = store_.value(store_.layout().fc_weight),
                                            .pool = store_.config().pool,
                                            .dropout = batch_.options().dropout,
                                            .dropout_key = dropout_key(),
                                            .d_fc_weight = store_.gradient(store_.layout().fc_weight),
                                            .d_fc_bias = store_.gradient(store_.layout().fc_bias),
                                            .d_state = d_state_.first(size)});
    return output_gradient<Real>(store_.config().pool, d_state_.first(size));
  }

 private:
  RandomKey dropout_key() const {
    return {.seed = batch_.options().seed, .stream = RandomStream::kDropout, .step = batch_.options().step};
  }

  ParameterStore<Real>& store_;
  const Batch& batch_;
  std::int64_t hidden_;
  Buffer<Real> pooled_, logits_, d_state_;  // [B, H], [B], [B, H]
};

}  // namespace reel
