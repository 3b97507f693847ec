// A model's parameters and gradients in backend memory, each in one buffer: optimizer and files see only those, layers
// their parts. Of the embedding table's gradients there are the rows of a batch's distinct words alone.
#pragma once

#include "host/model/parameters.h"
#include "kernels/backend.h"
#include "kernels/check.h"

namespace reel {

/// Whoever updates rows of the embedding table only when they are to be read: asked before each reading.
template <class Real>
class LaggingTable {
 public:
  virtual ~LaggingTable() = default;
  /// Brings the rows of an index up to date: to before the clock's step, if there is a clock.
  virtual void catch_up(const TokenIndex& index, const StepClock* clock) = 0;
  /// Brings all rows up to date.
  virtual void catch_up() = 0;
};

template <class Real>
class ParameterStore {
 public:
  /// Gradients have room for the embedding rows of a batch of the shape `largest`.
  ParameterStore(Backend<Real>& backend, const ModelConfig& config, const BatchShape& largest)
      : backend_(backend),
        config_(config),
        layout_(config),
        table_(layout_.parameters[layout_.embedding].size),
        row_elements_(max_distinct(largest, config.vocabulary) * config.embedding),
        values_(backend.template allocate<Real>(layout_.size)),
        gradients_(backend.template allocate<Real>(dense_begin() + layout_.size - table_)) {}

  Backend<Real>& backend() const { return backend_; }
  const ModelConfig& config() const { return config_; }
  const ParameterLayout& layout() const { return layout_; }

  std::span<Real> values() {  // [V*E + D]
    if (lagging_ != nullptr) lagging_->catch_up();
    return values_.span();
  }
  std::span<const Real> values() const {
    if (lagging_ != nullptr) lagging_->catch_up();
    return values_.span();
  }
  /// Of a dense parameter; of the embedding table those rows alone that were caught up with.
  std::span<const Real> value(ParameterId id) const { return part_of(values_.span(), layout_.parameters[id]); }
  void catch_up(const TokenIndex& index, const StepClock* clock) const {
    if (lagging_ != nullptr) lagging_->catch_up(index, clock);
  }
  /// For who updates them: rows may lag.
  std::span<Real> lagging_values() { return values_.span(); }
  /// One at a time. Null: no row lags from now on.
  void set_lagging(LaggingTable<Real>* table) {
    REEL_CHECK(lagging_ == nullptr || table == nullptr, "a second optimizer of one model");
    lagging_ = table;
  }

  /// The first `rows` of the embedding rows' gradients, [rows, E].
  std::span<Real> row_gradients(std::int64_t rows) { return gradients_.first(rows * config_.embedding); }
  std::span<Real> dense_gradients() { return gradients_.span().subspan(static_cast<std::size_t>(dense_begin())); }
  /// Of a dense parameter.
  std::span<Real> gradient(ParameterId id) {
    const Parameter& dense = layout_.parameters[id];
    return dense_gradients().subspan(static_cast<std::size_t>(dense.offset - table_),
                                     static_cast<std::size_t>(dense.size));
  }

 private:
  /// Dense gradients begin aligned as if they were a buffer of their own.
  std::int64_t dense_begin() const {
    constexpr std::int64_t kAlignment = 64;  // elements
    return (row_elements_ + kAlignment - 1) / kAlignment * kAlignment;
  }

  Backend<Real>& backend_;
  ModelConfig config_;
  ParameterLayout layout_;
  std::int64_t table_, row_elements_;  // of the embedding table, and of the room for its rows' gradients
  Buffer<Real> values_, gradients_;    // [V*E + D]; [rows*E], up to dense_begin(), and [D]
  LaggingTable<Real>* lagging_ = nullptr;
};

}  // namespace reel
