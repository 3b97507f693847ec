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
    store.backend().run(ClearIndex{{.count = count_.span(), .slot = slot_.span()}});
  }

  /// Indexes the batch's tokens.
  void forward() {
    store_.backend().run(
        IndexTokens{.shape = batch_.shape(), .ids = batch_.ids(), .lengths = batch_.lengths(), .index = index()});
  }

  /// The whole table.
  std::span<const Real> table() const { return store_.value(store_.layout().embedding); }
  /// The batch of the last forward().
  LayerInput<Real> output() { return {.table = table(), .index = index()}; }

 private:
  TokenIndex index() {
    const std::int64_t rows = max_distinct(batch_.shape(), store_.config().vocabulary);
    return {.count = count_.span(),
            .tokens = tokens_.first(rows),
            .slot = slot_.span(),
            .row_of = row_of_.first(batch_.positions()),
            .segment = segment_.first(rows + 1),
            .position = position_.first(batch_.positions())};
  }

  const ParameterStore<Real>& store_;
  const Batch& batch_;
  Buffer<std::int32_t> count_, tokens_, slot_, row_of_, segment_, position_;
};

}  // namespace reel
