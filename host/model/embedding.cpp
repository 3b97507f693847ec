#include "host/model/embedding.h"

namespace reel {

template <class Real>
Embedding<Real>::Embedding(Backend<Real>& backend, const ModelConfig& config, std::int64_t max_batch,
                           std::int64_t max_steps)
    : vocabulary_(config.vocabulary) {
  const std::int64_t rows = max_rows(config, max_batch, max_steps);
  const auto integers = [&](std::int64_t count) { return backend.template allocate<std::int32_t>(count); };
  count_ = integers(1);
  tokens_ = integers(rows);
  slot_ = integers(vocabulary_);
  row_of_ = integers(max_batch * max_steps);
  segment_ = integers(rows + 1);
  position_ = integers(max_batch * max_steps);
  backend.run(ClearIndex{{.count = count_.span(), .slot = slot_.span()}});
}

template <class Real>
void Embedding<Real>::forward(Backend<Real>& backend, const Batch& batch) {
  backend.run(
      IndexTokens{.shape = batch.shape(), .ids = batch.ids(), .lengths = batch.lengths(), .index = index(batch)});
}

template <class Real>
TokenIndex Embedding<Real>::index(const Batch& batch) {
  const auto positions = static_cast<std::size_t>(batch.positions());
  const auto rows = static_cast<std::size_t>(max_distinct(batch.shape(), vocabulary_));
  return {.count = count_.span(),
          .tokens = tokens_.span(0, rows),
          .slot = slot_.span(),
          .row_of = row_of_.span(0, positions),
          .segment = segment_.span(0, rows + 1),
          .position = position_.span(0, positions)};
}

template class Embedding<float>;
template class Embedding<double>;

}  // namespace reel
