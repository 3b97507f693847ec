#include "host/model/classifier.h"

#include <algorithm>

#include "kernels/check.h"

namespace reel {
namespace {

// Places in parameter_layout.
constexpr std::size_t kEmbedding = 0, kWeightIh = 1, kWeightHh = 2, kBias = 3, kFcWeight = 4, kFcBias = 5;

template <class T>
auto sized(Buffer<T>& buffer, std::int64_t count) {
  return buffer.span().first(static_cast<std::size_t>(count));
}

}  // namespace

template <class Real>
DeviceDataset to_device(Backend<Real>& backend, const Dataset& dataset) {
  DeviceDataset device;
  device.reviews = dataset.size();
  device.steps = dataset.steps;
  const auto copy = [&](const std::vector<std::int32_t>& from, Buffer<std::int32_t>& to) {
    to = backend.template allocate<std::int32_t>(static_cast<std::int64_t>(from.size()));
    backend.upload(std::span<const std::int32_t>(from), to.span());
  };
  copy(dataset.ids, device.ids);
  copy(dataset.lengths, device.lengths);
  copy(dataset.labels, device.labels);
  return device;
}

template <class Real>
Classifier<Real>::Classifier(Backend<Real>& backend, const ModelConfig& config, std::int64_t max_batch,
                             std::int64_t max_steps)
    : backend_(backend),
      config_(config),
      layout_(parameter_layout(config)),
      max_batch_(max_batch),
      max_steps_(max_steps) {
  const std::int64_t V = config.vocabulary, E = config.embedding, H = config.hidden, B = max_batch, T = max_steps;
  const std::int64_t U = std::min(V, B * T);
  const auto reals = [&](std::int64_t count) { return backend.template allocate<Real>(count); };
  const auto integers = [&](std::int64_t count) { return backend.template allocate<std::int32_t>(count); };
  parameters_ = reals(parameter_count(config));
  gradient_ = reals(parameter_count(config) - V * E);
  ids_ = integers(B * T);
  lengths_ = integers(B);
  labels_ = integers(B);
  count_ = integers(1);
  tokens_ = integers(U);
  slot_ = integers(V);
  row_of_ = integers(B * T);
  segment_ = integers(U + 1);
  position_ = integers(B * T);
  projected_ = reals(U * H);
  h_ = reals((T + 1) * B * H);
  pooled_ = reals(B * H);
  logits_ = reals(B);
  d_state_ = reals(B * H);
  dz_ = reals(T * B * H);
  d_projected_ = reals(U * H);
  d_embedding_ = reals(U * E);
  backend.run(ClearIndex{index()});
}

template <class Real>
TokenIndex Classifier<Real>::index() {
  const std::int64_t positions = batch_ * steps_, room = max_distinct(batch_shape(), config_.vocabulary);
  return {.count = count_.span(),
          .tokens = sized(tokens_, room),
          .slot = slot_.span(),
          .row_of = sized(row_of_, positions),
          .segment = sized(segment_, room + 1),
          .position = sized(position_, positions)};
}

template <class Real>
std::span<Real> Classifier<Real>::states() {
  const std::int64_t zeros = (max_batch_ - batch_) * config_.hidden;
  return h_.span(static_cast<std::size_t>(zeros), static_cast<std::size_t>((steps_ + 1) * batch_ * config_.hidden));
}

template <class Real>
std::span<Real> Classifier<Real>::parameter(std::size_t i) {
  return parameters_.span(static_cast<std::size_t>(layout_[i].offset), static_cast<std::size_t>(layout_[i].size));
}

template <class Real>
std::span<Real> Classifier<Real>::gradient(std::size_t i) {
  return gradient_.span(static_cast<std::size_t>(layout_[i].offset - layout_[kEmbedding].size),
                        static_cast<std::size_t>(layout_[i].size));
}

template <class Real>
void Classifier<Real>::select(const DeviceDataset& data, std::span<const std::int32_t> rows,
                              const BatchOptions& options) {
  batch_ = static_cast<std::int64_t>(rows.size());
  steps_ = data.steps;
  options_ = options;
  REEL_CHECK(batch_ <= max_batch_ && steps_ <= max_steps_, "batch of {} x {}, room for {} x {}", batch_, steps_,
             max_batch_, max_steps_);
  backend_.run(
      SelectRows{.shape = batch_shape(),
                 .data_ids = data.ids.span(),
                 .data_lengths = data.lengths.span(),
                 .data_labels = data.labels.span(),
                 .rows = rows,
                 .padding = options.padding,
                 .word_dropout = options.word_dropout,
                 .unknown_id = options.unknown_id,
                 .word_dropout_key = {.seed = options.seed, .stream = RandomStream::kWordDropout, .step = options.step},
                 .ids = sized(ids_, batch_ * steps_),
                 .lengths = sized(lengths_, batch_),
                 .labels = sized(labels_, batch_)});
}

template <class Real>
void Classifier<Real>::load(std::span<const std::int32_t> ids, std::span<const std::int32_t> lengths,
                            const BatchOptions& options) {
  batch_ = static_cast<std::int64_t>(lengths.size());
  steps_ = batch_ > 0 ? static_cast<std::int64_t>(ids.size() / lengths.size()) : 0;
  options_ = options;
  REEL_CHECK(batch_ <= max_batch_ && steps_ <= max_steps_, "batch of {} x {}, room for {} x {}", batch_, steps_,
             max_batch_, max_steps_);
  backend_.upload(ids, sized(ids_, batch_ * steps_));
  backend_.upload(lengths, sized(lengths_, batch_));
}

template <class Real>
void Classifier<Real>::forward() {
  const TokenIndex tokens = index();
  const auto projected = sized(projected_, tokens.capacity() * config_.hidden);
  backend_.run(IndexTokens{.shape = batch_shape(),
                           .ids = sized(ids_, batch_ * steps_),
                           .lengths = sized(lengths_, batch_),
                           .index = tokens});
  backend_.run(ProjectTokens<Real>{.count = tokens.count,
                                   .tokens = tokens.tokens,
                                   .vocabulary = config_.vocabulary,
                                   .embedding = parameter(kEmbedding),
                                   .w_ih = parameter(kWeightIh),
                                   .bias = parameter(kBias),
                                   .projected = projected});
  run_recurrence({.values = projected, .width = config_.hidden, .row_of = tokens.row_of}, false);
}

template <class Real>
void Classifier<Real>::forward(std::span<const Real> vocabulary) {
  run_recurrence({.values = vocabulary, .width = config_.hidden, .row_of = sized(ids_, batch_ * steps_)},
                 config_.pool == Pool::kLast);
}

template <class Real>
void Classifier<Real>::run_recurrence(const IndexedRows<Real>& input, bool last_only) {
  backend_.run(RecurrenceForward<Real>{.cell = config_.cell,
                                       .shape = shape(),
                                       .lengths = sized(lengths_, batch_),
                                       .input = input,
                                       .w_hh = parameter(kWeightHh),
                                       .h = states(),
                                       .last_only = last_only});
  backend_.run(
      HeadForward<Real>{.shape = shape(),
                        .lengths = sized(lengths_, batch_),
                        .h = states(),
                        .pool = config_.pool,
                        .dropout = options_.dropout,
                        .dropout_key = {.seed = options_.seed, .stream = RandomStream::kDropout, .step = options_.step},
                        .fc_weight = parameter(kFcWeight),
                        .fc_bias = parameter(kFcBias),
                        .pooled = sized(pooled_, batch_ * config_.hidden),
                        .logits = sized(logits_, batch_)});
}

template <class Real>
Buffer<Real> Classifier<Real>::project_vocabulary() {
  Buffer<Real> projected = backend_.template allocate<Real>(config_.vocabulary * config_.hidden);
  backend_.run(ProjectTokens<Real>{.vocabulary = config_.vocabulary,
                                   .embedding = parameter(kEmbedding),
                                   .w_ih = parameter(kWeightIh),
                                   .bias = parameter(kBias),
                                   .projected = projected.span()});
  backend_.synchronize();
  return projected;
}

template <class Real>
std::span<const Real> Classifier<Real>::logits() const {
  return logits_.span(0, static_cast<std::size_t>(batch_));
}

template <class Real>
void Classifier<Real>::measure(std::span<BatchStats> stats) {
  backend_.run(HeadBackward<Real>{
      .shape = shape(), .labels = sized(labels_, batch_), .logits = sized(logits_, batch_), .stats = stats});
}

template <class Real>
void Classifier<Real>::backward(std::span<BatchStats> stats) {
  const TokenIndex tokens = index();
  const std::int64_t H = config_.hidden, room = tokens.capacity();
  const auto d_state = sized(d_state_, batch_ * H), dz = sized(dz_, steps_ * batch_ * H);
  backend_.run(HeadBackward<Real>{
      .shape = shape(),
      .labels = sized(labels_, batch_),
      .logits = sized(logits_, batch_),
      .stats = stats,
      .lengths = sized(lengths_, batch_),
      .pooled = sized(pooled_, batch_ * H),
      .fc_weight = parameter(kFcWeight),
      .pool = config_.pool,
      .dropout = options_.dropout,
      .dropout_key = {.seed = options_.seed, .stream = RandomStream::kDropout, .step = options_.step},
      .d_fc_weight = gradient(kFcWeight),
      .d_fc_bias = gradient(kFcBias),
      .d_state = d_state});
  backend_.run(RecurrenceBackward<Real>{.cell = config_.cell,
                                        .shape = shape(),
                                        .lengths = sized(lengths_, batch_),
                                        .h = states(),
                                        .w_hh = parameter(kWeightHh),
                                        .d_output = output_gradient<Real>(config_.pool, d_state),
                                        .dz = dz,
                                        .d_w_hh = gradient(kWeightHh)});
  backend_.run(ProjectionGradient<Real>{.shape = batch_shape(),
                                        .index = tokens,
                                        .d_input = dz,
                                        .embedding = parameter(kEmbedding),
                                        .w_ih = parameter(kWeightIh),
                                        .d_projected = sized(d_projected_, room * H),
                                        .d_embedding = sized(d_embedding_, room * config_.embedding),
                                        .d_w_ih = gradient(kWeightIh),
                                        .d_bias = gradient(kBias)});
}

template <class Real>
ParameterGradient<Real> Classifier<Real>::gradient() {
  const TokenIndex tokens = index();
  return {.index = tokens,
          .embedding = config_.embedding,
          .rows = sized(d_embedding_, tokens.capacity() * config_.embedding),
          .dense = gradient_.span()};
}

template DeviceDataset to_device(Backend<float>&, const Dataset&);
template DeviceDataset to_device(Backend<double>&, const Dataset&);
template class Classifier<float>;
template class Classifier<double>;

}  // namespace reel
