// A model's parameters and gradients in backend memory, each in one flat buffer: optimizer and files see only those,
// layers their parts.
#pragma once

#include "host/model/parameters.h"
#include "kernels/backend.h"

namespace reel {

template <class Real>
class ParameterStore {
 public:
  /// Gradients have room for `rows` rows of the embedding table.
  ParameterStore(Backend<Real>& backend, const ModelConfig& config, std::int64_t rows)
      : layout_(config),
        table_(layout_.parameters[layout_.embedding].size),
        rows_((rows * config.embedding + kAlignment - 1) / kAlignment * kAlignment),
        values_(backend.template allocate<Real>(layout_.size)),
        gradients_(backend.template allocate<Real>(rows_ + layout_.size - table_)) {}

  const ParameterLayout& layout() const { return layout_; }
  std::span<Real> values() { return values_.span(); }  // [V*E + D]
  std::span<const Real> values() const { return values_.span(); }
  std::span<const Real> value(ParameterId id) const { return part_of(values(), layout_.parameters[id]); }

  /// The first `count` elements of the embedding rows' gradients.
  std::span<Real> row_gradients(std::int64_t count) { return gradients_.span(0, static_cast<std::size_t>(count)); }
  std::span<Real> dense_gradients() { return gradients_.span().subspan(static_cast<std::size_t>(rows_)); }  // [D]
  /// Of a dense parameter.
  std::span<Real> gradient(ParameterId id) {
    const Parameter& dense = layout_.parameters[id];
    return dense_gradients().subspan(static_cast<std::size_t>(dense.offset - table_),
                                     static_cast<std::size_t>(dense.size));
  }

 private:
  static constexpr std::int64_t kAlignment =
      64;  // elements: dense gradients begin as if they were a buffer of their own

  ParameterLayout layout_;
  std::int64_t table_, rows_;        // elements of the embedding table, and of the room for its rows' gradients
  Buffer<Real> values_, gradients_;  // [V*E + D], [rows*E + D]
};

}  // namespace reel
