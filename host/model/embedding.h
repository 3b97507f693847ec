// The embedding table: a batch's words as rows of it.
#pragma once

#include "host/model/batch.h"
#include "host/model/parameter_store.h"

namespace reel {

template <class Real>
class Embedding {
 public:
  Embedding(Backend<Real>& backend, const ModelConfig& config, std::int64_t max_batch, std::int64_t max_steps);

  /// The most distinct tokens of a batch: rows of gradient that are needed.
  static std::int64_t max_rows(const ModelConfig& config, std::int64_t max_batch, std::int64_t max_steps) {
    return max_distinct({max_batch, max_steps}, config.vocabulary);
  }

  /// Indexes the batch's tokens.
  void forward(Backend<Real>& backend, const Batch& batch);
  /// Of the batch of the last forward().
  TokenIndex index(const Batch& batch);

 private:
  std::int64_t vocabulary_;
  Buffer<std::int32_t> count_, tokens_, slot_, row_of_, segment_, position_;
};

}  // namespace reel
