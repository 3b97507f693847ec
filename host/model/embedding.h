// The embedding table: a batch's words as rows of it.
#pragma once

#include "host/model/index.h"
#include "host/model/parameter_store.h"

namespace reel {

/// A layer's input: rows of a table, and which of them each step of a batch reads.
template <class Real>
struct LayerInput {
  std::span<const Real> table;  // [rows, width]
  DirectedIndex index;
  EmbeddingDropout dropout{};  // of the table's rows
};

template <class Real>
class Embedding {
 public:
  /// Keeps references to both.
  Embedding(const ParameterStore<Real>& store, const Batch& batch)
      : store_(store),
        batch_(batch),
        memory_(store.backend(), batch.largest(), store.config().vocabulary, store.config().bidirectional) {}

  /// Indexes the batch's tokens, whose rows may be read afterwards.
  void forward() {
    const TokenIndex index = memory_.room(batch_.shape(), store_.config().vocabulary);
    store_.backend().run(
        IndexTokens{.shape = batch_.shape(), .ids = batch_.ids(), .lengths = batch_.lengths(), .index = index});
    index_ = memory_.directed(store_.backend(), batch_, index);
    store_.catch_up(index, batch_.options().clock);
  }
  /// Which rows of the whole table the steps read, without an index.
  std::span<const std::int32_t> ids(std::size_t direction) { return memory_.ids(store_.backend(), batch_, direction); }

  /// The most distinct words of a batch.
  std::int64_t rows() const { return memory_.distinct(); }
  /// The whole table.
  std::span<const Real> table() const {
    return part_of(store_.values(), store_.layout().parameters[store_.layout().embedding]);
  }
  /// The batch of the last forward().
  LayerInput<Real> output() const {
    const BatchOptions& options = batch_.options();
    return {.table = store_.value(store_.layout().embedding),
            .index = index_,
            .dropout = {.rate = options.embedding_dropout,
                        .key = {.seed = options.seed, .stream = RandomStream::kEmbeddingDropout, .step = options.step},
                        .clock = options.clock}};
  }

 private:
  const ParameterStore<Real>& store_;
  const Batch& batch_;
  IndexMemory memory_;
  DirectedIndex index_;
};

}  // namespace reel
