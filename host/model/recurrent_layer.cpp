#include "host/model/recurrent_layer.h"

namespace reel {

template <class Real>
RecurrentLayer<Real>::RecurrentLayer(Backend<Real>& backend, const ModelConfig& config,
                                     const ParameterLayout::Layer& ids, std::int64_t max_batch, std::int64_t max_steps,
                                     std::int64_t max_rows)
    : cell_(config.cell), hidden_(config.hidden), ids_(ids) {
  const auto reals = [&](std::int64_t count) { return backend.template allocate<Real>(count * hidden_); };
  projected_ = reals(max_rows);
  h_ = reals((max_steps + 1) * max_batch);
  dz_ = reals(max_steps * max_batch);
  d_projected_ = reals(max_rows);
}

template <class Real>
std::span<Real> RecurrentLayer<Real>::projected(const TokenIndex& index) {
  return projected_.span(0, static_cast<std::size_t>(index.capacity() * hidden_));
}

template <class Real>
std::span<Real> RecurrentLayer<Real>::states(const Batch& batch) {
  const std::int64_t zeros = (batch.max_batch() - batch.shape().batch) * hidden_;
  const std::int64_t size = (batch.shape().steps + 1) * batch.shape().batch * hidden_;
  return h_.span(static_cast<std::size_t>(zeros), static_cast<std::size_t>(size));
}

template <class Real>
void RecurrentLayer<Real>::forward(Backend<Real>& backend, const ParameterStore<Real>& store, const Batch& batch,
                                   const LayerInput<Real>& input) {
  const std::span<Real> rows = projected(input.index);
  backend.run(ProjectTokens<Real>{.count = input.index.count,
                                  .tokens = input.index.tokens,
                                  .vocabulary = input.index.vocabulary(),
                                  .embedding = input.table,
                                  .w_ih = store.value(ids_.w_ih),
                                  .bias = store.value(ids_.bias),
                                  .projected = rows});
  forward(backend, store, batch, {.values = rows, .width = hidden_, .row_of = input.index.row_of}, false);
}

template <class Real>
Buffer<Real> RecurrentLayer<Real>::project(Backend<Real>& backend, const ParameterStore<Real>& store,
                                           std::span<const Real> table) const {
  const auto& w_ih = store.layout().parameters[ids_.w_ih];
  const std::int64_t rows = static_cast<std::int64_t>(table.size()) / w_ih.shape[1];
  Buffer<Real> all = backend.template allocate<Real>(rows * hidden_);
  backend.run(ProjectTokens<Real>{.vocabulary = rows,
                                  .embedding = table,
                                  .w_ih = store.value(ids_.w_ih),
                                  .bias = store.value(ids_.bias),
                                  .projected = all.span()});
  backend.synchronize();
  return all;
}

template <class Real>
void RecurrentLayer<Real>::forward(Backend<Real>& backend, const ParameterStore<Real>& store, const Batch& batch,
                                   const IndexedRows<Real>& projected, bool last_only) {
  backend.run(RecurrenceForward<Real>{.cell = cell_,
                                      .shape = batch.sequences(hidden_),
                                      .lengths = batch.lengths(),
                                      .input = projected,
                                      .w_hh = store.value(ids_.w_hh),
                                      .h = states(batch),
                                      .last_only = last_only});
}

template <class Real>
void RecurrentLayer<Real>::backward(Backend<Real>& backend, ParameterStore<Real>& store, const Batch& batch,
                                    const LayerInput<Real>& input, const OutputGradient<Real>& d_output,
                                    std::span<Real> d_rows) {
  const auto dz = dz_.span(0, static_cast<std::size_t>(batch.positions() * hidden_));
  backend.run(RecurrenceBackward<Real>{.cell = cell_,
                                       .shape = batch.sequences(hidden_),
                                       .lengths = batch.lengths(),
                                       .h = states(batch),
                                       .w_hh = store.value(ids_.w_hh),
                                       .d_output = d_output,
                                       .dz = dz,
                                       .d_w_hh = store.gradient(ids_.w_hh)});
  backend.run(ProjectionGradient<Real>{
      .shape = batch.shape(),
      .index = input.index,
      .d_input = dz,
      .embedding = input.table,
      .w_ih = store.value(ids_.w_ih),
      .d_projected = d_projected_.span(0, static_cast<std::size_t>(input.index.capacity() * hidden_)),
      .d_embedding = d_rows,
      .d_w_ih = store.gradient(ids_.w_ih),
      .d_bias = store.gradient(ids_.bias)});
}

template class RecurrentLayer<float>;
template class RecurrentLayer<double>;

}  // namespace reel
