// The embedding table: a batch's words as rows of it.
#pragma once

#include "host/model/batch.h"
#include "host/model/parameter_store.h"

namespace reel {

/// A layer's input: rows of a table, and which of them each step of a batch reads.
template <class Real>
struct LayerInput {
  std::span<const Real> table;  // [V, E]
  TokenIndex index;
};

template <class Real>
class Embedding {
 public:
  /// Keeps references to both.
  Embedding(const ParameterStore<Real>& store, const Batch& batch) : store_(store), batch_(batch) {
    const std::int64_t V = store.config().vocabulary, rows = max_distinct(batch.largest(), V);
    const std::int64_t positions = batch.largest().batch * batch.largest().steps;
    for (const auto& [buffer, count] : {std::pair(&count_, std::int64_t{1}),
                                        {&tokens_, rows},
                                        {&slot_, V},
                                        {&row_of_, positions},
                                        {&segment_, rows + 1},
                                        {&position_, positions}}) {
      *buffer = store.backend().template allocate<std::int32_t>(count);
    }
  }

  /// Indexes the batch's tokens.
  void forward() {
    const std::int64_t rows = max_distinct(batch_.shape(), store_.config().vocabulary);
    index_ = {.count = count_.span(),
              .tokens = tokens_.first(rows),
              .slot = slot_.span(),
              .row_of = row_of_.first(batch_.positions()),
              .segment = segment_.first(rows + 1),
              .position = position_.first(batch_.positions())};
    store_.backend().run(
        IndexTokens{.shape = batch_.shape(), .ids = batch_.ids(), .lengths = batch_.lengths(), .index = index_});
  }

  /// The most distinct words of a batch.
  std::int64_t rows() const { return static_cast<std::int64_t>(tokens_.size()); }
  /// The whole table.
  std::span<const Real> table() const { return store_.value(store_.layout().embedding); }
  /// The batch of the last forward().
  LayerInput<Real> output() const { return {.table = table(), .index = index_}; }

 private:
  const ParameterStore<Real>& store_;
  const Batch& batch_;
  Buffer<std::int32_t> count_, tokens_, slot_, row_of_, segment_, position_;
  TokenIndex index_;
};

}  // namespace reel
