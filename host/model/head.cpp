#include "host/model/head.h"

namespace reel {

template <class Real>
Head<Real>::Head(Backend<Real>& backend, const ModelConfig& config, std::int64_t max_batch)
    : pool_(config.pool),
      hidden_(config.hidden),
      pooled_(backend.template allocate<Real>(max_batch * hidden_)),
      logits_(backend.template allocate<Real>(max_batch)),
      d_state_(backend.template allocate<Real>(max_batch * hidden_)) {}

template <class Real>
RandomKey Head<Real>::dropout_key(const Batch& batch) const {
  return {.seed = batch.options().seed, .stream = RandomStream::kDropout, .step = batch.options().step};
}

template <class Real>
std::span<const Real> Head<Real>::logits(const Batch& batch) const {
  return logits_.span(0, static_cast<std::size_t>(batch.shape().batch));
}

template <class Real>
void Head<Real>::forward(Backend<Real>& backend, const ParameterStore<Real>& store, const Batch& batch,
                         std::span<const Real> h) {
  const auto B = static_cast<std::size_t>(batch.shape().batch), H = static_cast<std::size_t>(hidden_);
  backend.run(HeadForward<Real>{.shape = batch.sequences(hidden_),
                                .lengths = batch.lengths(),
                                .h = h,
                                .pool = pool_,
                                .dropout = batch.options().dropout,
                                .dropout_key = dropout_key(batch),
                                .fc_weight = store.value(store.layout().fc_weight),
                                .fc_bias = store.value(store.layout().fc_bias),
                                .pooled = pooled_.span(0, B * H),
                                .logits = logits_.span(0, B)});
}

template <class Real>
void Head<Real>::measure(Backend<Real>& backend, const Batch& batch, std::span<BatchStats> stats) {
  backend.run(HeadBackward<Real>{
      .shape = batch.sequences(hidden_), .labels = batch.labels(), .logits = logits(batch), .stats = stats});
}

template <class Real>
OutputGradient<Real> Head<Real>::backward(Backend<Real>& backend, ParameterStore<Real>& store, const Batch& batch,
                                          std::span<BatchStats> stats) {
  const auto size = static_cast<std::size_t>(batch.shape().batch * hidden_);
  backend.run(HeadBackward<Real>{.shape = batch.sequences(hidden_),
                                 .labels = batch.labels(),
                                 .logits = logits(batch),
                                 .stats = stats,
                                 .lengths = batch.lengths(),
                                 .pooled = pooled_.span(0, size),
                                 .fc_weight = store.value(store.layout().fc_weight),
                                 .pool = pool_,
                                 .dropout = batch.options().dropout,
                                 .dropout_key = dropout_key(batch),
                                 .d_fc_weight = store.gradient(store.layout().fc_weight),
                                 .d_fc_bias = store.gradient(store.layout().fc_bias),
                                 .d_state = d_state_.span(0, size)});
  return output_gradient<Real>(pool_, d_state_.span(0, size));
}

template class Head<float>;
template class Head<double>;

}  // namespace reel
