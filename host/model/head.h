// Pooling, dropout, the output layer and the loss.
#pragma once

#include "host/model/batch.h"
#include "host/model/parameter_store.h"

namespace reel {

template <class Real>
class Head {
 public:
  Head(Backend<Real>& backend, const ModelConfig& config, std::int64_t max_batch);

  /// Of the top layer's states [T+1, B, H]; logits() is valid afterwards.
  void forward(Backend<Real>& backend, const ParameterStore<Real>& store, const Batch& batch, std::span<const Real> h);
  std::span<const Real> logits(const Batch& batch) const;  // [B]

  /// Loss and accuracy of the batch, after forward().
  void measure(Backend<Real>& backend, const Batch& batch, std::span<BatchStats> stats);
  /// The same, the gradients of the head's parameters, and what flows back into the states.
  OutputGradient<Real> backward(Backend<Real>& backend, ParameterStore<Real>& store, const Batch& batch,
                                std::span<BatchStats> stats);

 private:
  RandomKey dropout_key(const Batch& batch) const;

  Pool pool_;
  std::int64_t hidden_;
  Buffer<Real> pooled_, logits_, d_state_;  // [B, H], [B], [B, H]
};

}  // namespace reel
