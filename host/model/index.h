// The memory of a TokenIndex, and of the same index for the reverse direction.
#pragma once

#include <cstdint>
#include <utility>

#include "host/model/batch.h"

namespace reel {

/// Which rows of a table each step of a batch reads, for the direction that begins with a row's first step and for the
/// one that begins with its last: they differ in row_of and position.
struct DirectedIndex {
  TokenIndex forward, reverse;

  const TokenIndex& of(std::size_t direction) const { return direction == 0 ? forward : reverse; }
};

/// Keeps an index of a batch; nothing is allocated after construction.
class IndexMemory {
 public:
  IndexMemory() = default;
  /// For batches up to `largest` and a table of up to `rows` rows.
  IndexMemory(Device& device, const BatchShape& largest, std::int64_t rows, bool bidirectional) {
    const std::int64_t distinct = max_distinct(largest, rows), positions = largest.batch * largest.steps;
    for (const auto& [buffer, count] : {std::pair(&count_, std::int64_t{1}),
                                        {&tokens_, distinct},
                                        {&slot_, rows},
                                        {&row_of_, positions},
                                        {&segment_, distinct + 1},
                                        {&position_, positions}}) {
      *buffer = device.allocate<std::int32_t>(count);
    }
    if (!bidirectional) return;
    reverse_row_of_ = device.allocate<std::int32_t>(positions);
    reverse_position_ = device.allocate<std::int32_t>(positions);
  }

  /// Room for an index of a batch of this shape and a table of `rows` rows.
  TokenIndex room(const BatchShape& shape, std::int64_t rows) {
    const std::int64_t distinct = max_distinct(shape, rows), positions = shape.batch * shape.steps;
    return {.count = count_.span(),
            .tokens = tokens_.first(distinct),
            .slot = slot_.first(rows),
            .row_of = row_of_.first(positions),
            .segment = segment_.first(distinct + 1),
            .position = position_.first(positions)};
  }
  /// The index with that of the reverse direction, if there is one.
  template <class Real>
  DirectedIndex directed(Backend<Real>& backend, const Batch& batch, const TokenIndex& index) {
    DirectedIndex both{.forward = index, .reverse = {}};
    if (reverse_row_of_.size() == 0) return both;
    both.reverse = index;
    both.reverse.row_of = reverse_row_of_.first(batch.positions());
    both.reverse.position = reverse_position_.first(batch.positions());
    backend.run(ReverseIndex{.shape = batch.shape(),
                             .lengths = batch.lengths(),
                             .row_of = index.row_of,
                             .position = index.position,
                             .reverse_row_of = both.reverse.row_of,
                             .reverse_position = both.reverse.position});
    return both;
  }
  /// The ids of a batch, where they are the rows themselves, for one of the directions.
  template <class Real>
  std::span<const std::int32_t> ids(Backend<Real>& backend, const Batch& batch, std::size_t direction) {
    if (direction == 0) return batch.ids();
    const std::span<std::int32_t> reverse = reverse_row_of_.first(batch.positions());
    backend.run(ReverseIndex{
        .shape = batch.shape(), .lengths = batch.lengths(), .row_of = batch.ids(), .reverse_row_of = reverse});
    return reverse;
  }

  /// The most distinct rows of a batch.
  std::int64_t distinct() const { return static_cast<std::int64_t>(tokens_.size()); }

 private:
  Buffer<std::int32_t> count_, tokens_, slot_, row_of_, segment_, position_, reverse_row_of_, reverse_position_;
};

}  // namespace reel
