#include "host/model/model.h"

namespace reel {

template <class Real>
Model<Real>::Model(Backend<Real>& backend, const ModelConfig& config, std::int64_t max_batch, std::int64_t max_steps)
    : backend_(backend),
      config_(config),
      store_(backend, config, Embedding<Real>::max_rows(config, max_batch, max_steps)),
      batch_(backend, max_batch, max_steps),
      embedding_(backend, config, max_batch, max_steps),
      head_(backend, config, max_batch) {
  const std::int64_t rows = Embedding<Real>::max_rows(config, max_batch, max_steps);
  for (const ParameterLayout::Layer& ids : store_.layout().layers) {
    layers_.emplace_back(backend, config, ids, max_batch, max_steps, rows);
  }
}

template <class Real>
void Model<Real>::select(const DeviceDataset& data, std::span<const std::int32_t> rows, const BatchOptions& options) {
  batch_.select(backend_, data, rows, options);
}

template <class Real>
void Model<Real>::load(std::span<const std::int32_t> ids, std::span<const std::int32_t> lengths,
                       const BatchOptions& options) {
  batch_.load(backend_, ids, lengths, options);
}

template <class Real>
LayerInput<Real> Model<Real>::words() {
  return {.table = store_.value(store_.layout().embedding), .index = embedding_.index(batch_)};
}

template <class Real>
void Model<Real>::forward() {
  RecurrentLayer<Real>& layer = layers_.front();
  embedding_.forward(backend_, batch_);
  layer.forward(backend_, store_, batch_, words());
  head_.forward(backend_, store_, batch_, layer.states(batch_));
}

template <class Real>
void Model<Real>::forward(std::span<const Real> vocabulary) {
  RecurrentLayer<Real>& layer = layers_.front();
  layer.forward(backend_, store_, batch_, {.values = vocabulary, .width = config_.hidden, .row_of = batch_.ids()},
                config_.pool == Pool::kLast);
  head_.forward(backend_, store_, batch_, layer.states(batch_));
}

template <class Real>
Buffer<Real> Model<Real>::project_vocabulary() {
  return layers_.front().project(backend_, store_, store_.value(store_.layout().embedding));
}

template <class Real>
void Model<Real>::measure(std::span<BatchStats> stats) {
  head_.measure(backend_, batch_, stats);
}

template <class Real>
void Model<Real>::backward(std::span<BatchStats> stats) {
  const OutputGradient<Real> d_output = head_.backward(backend_, store_, batch_, stats);
  layers_.front().backward(backend_, store_, batch_, words(), d_output, gradient().rows);
}

template <class Real>
ParameterGradient<Real> Model<Real>::gradient() {
  const TokenIndex index = embedding_.index(batch_);
  return {.index = index,
          .embedding = config_.embedding,
          .rows = store_.row_gradients(index.capacity() * config_.embedding),
          .dense = store_.dense_gradients()};
}

template class Model<float>;
template class Model<double>;

}  // namespace reel
