// One recurrent layer: for each of its directions the projection of its input, the recurrence, and both on the way
// back. Two directions run side by side.
#pragma once

#include <cstddef>
#include <vector>

#include "host/model/embedding.h"
#include "kernels/check.h"

namespace reel {

/// What a direction needs while it runs and nobody afterwards: the same memory serves that direction of all layers.
template <class Real>
class LayerScratch {
 public:
  /// For layers of `config` whose input has up to `rows` distinct rows in a batch.
  LayerScratch(Device& device, const ModelConfig& config, const BatchShape& largest, std::int64_t rows) {
    const CellTraits& cell = traits(config.cell);
    const std::int64_t width = cell.gates * config.hidden, positions = largest.batch * largest.steps;
    projected_ = device.allocate<Real>(rows * width);
    d_input_ = device.allocate<Real>(positions * width);
    if (cell.recurrent_bias) d_recurrent_ = device.allocate<Real>(positions * width);
  }

  /// [U, G*H]: the projected input, which only the way forward reads, and on the way back its gradient.
  std::span<Real> projected(std::int64_t size) { return projected_.first(size); }
  std::span<Real> d_input(std::int64_t size) { return d_input_.first(size); }          // [T, B, G*H]
  std::span<Real> d_recurrent(std::int64_t size) { return d_recurrent_.first(size); }  // the same, or empty

 private:
  Buffer<Real> projected_, d_input_, d_recurrent_;
};

/// One direction of a layer. The reverse one is the same with an index that begins at a row's end: its step 0 is the
/// row's last.
template <class Real>
class LayerDirection {
 public:
  /// Of the parameters `ids`. Keeps references to the store, the batch and the scratch.
  LayerDirection(ParameterStore<Real>& store, const Batch& batch, LayerScratch<Real>& scratch,
                 const ParameterLayout::Direction& ids)
      : store_(store),
        batch_(batch),
        scratch_(scratch),
        ids_(ids),
        cell_(traits(store.config().cell)),
        hidden_(store.config().hidden),
        width_(cell_.gates * hidden_) {
    const auto& [B, T] = batch.largest();
    const auto reals = [&](std::int64_t count) { return store.backend().template allocate<Real>(count); };
    h_ = reals((T + 1) * B * hidden_);
    if (cell_.saved > 0) saved_ = reals(T * B * cell_.saved * hidden_);
  }

  /// has_steps: see OutputGradient, of what will flow back.
  void forward(Backend<Real>& backend, const LayerInput<Real>& input, const TokenIndex& index, bool has_steps) {
    packed_ =
        !keeps_state_ && backend.packs_sequences(cell_.cell, batch_.sequences(hidden_), index.capacity(), has_steps);
    const std::span<Real> rows = scratch_.projected(index.capacity() * width_);
    backend.run(projection(input.table, index.count, index.tokens, input.dropout, rows),
                recurrence(rows, index.row_of, saved(), false));
  }
  /// The same with input that is projected, [rows, G*H], for states alone: backward() may not follow. With `last_only`
  /// those between the first and the last need not be written.
  void forward_projected(Backend<Real>& backend, std::span<const Real> projected, std::span<const std::int32_t> row_of,
                         bool last_only) {
    packed_ = false;
    backend.run(recurrence(projected, row_of, {}, last_only));
  }
  /// Every row of a table projected, [rows, G*H], as long as parameters do not change.
  Buffer<Real> project(std::span<const Real> table) const {
    const std::int64_t rows = static_cast<std::int64_t>(table.size()) / store_.layout().parameters[ids_.w_ih].shape[1];
    Buffer<Real> all = store_.backend().template allocate<Real>(rows * width_);
    store_.backend().run(projection(table, {}, {}, {}, all.span()));
    return all;
  }

  /// Whether they are packed, see RecurrenceForward.
  bool packed() const { return packed_; }
  /// [T+1, B, H] of the batch. h[1] has the same address for every batch size, so that h[0], before it, always lies in
  /// memory that nothing but carry_state() writes: zero.
  std::span<Real> states() {
    const auto size = [&](std::int64_t rows) { return packed_size(rows * hidden_, packed_); };
    const std::int64_t B = batch_.shape().batch, unused = batch_.largest().batch * hidden_ - size(B);
    return h_.first(unused + size(batch_.positions() + B)).subspan(static_cast<std::size_t>(unused));
  }

  /// From now on the states of a batch of one row and one step begin with what carry_state() has left, zero at first.
  void keep_state() {
    REEL_CHECK(batch_.largest().batch == 1 && batch_.largest().steps == 1, "state kept of {} rows of {} steps",
               batch_.largest().batch, batch_.largest().steps);
    keeps_state_ = true;
    if (cell_.cell == Cell::kLstm) c_ = store_.backend().template allocate<Real>(hidden_);
  }
  void carry_state() {
    const auto H = static_cast<std::size_t>(hidden_);
    store_.backend().copy(std::span<const Real>(states().last(H)), states().first(H));
  }

  /// Of the forward() of this input before it. Writes the gradients of the parameters, and of the input's rows to
  /// `d_rows` [room for U, width of the input], or adds the latter to what stands there.
  void backward(const LayerInput<Real>& input, const TokenIndex& index, const OutputGradient<Real>& d_output,
                std::span<Real> d_rows, bool add_to_rows) {
    store_.backend().run(recurrence_gradient(d_output), projection_gradient(input, index, d_rows, add_to_rows));
  }
  /// Its two parts: through time, and then from there to the input.
  void backward_through_time(Backend<Real>& backend, const OutputGradient<Real>& d_output) {
    backend.run(recurrence_gradient(d_output));
  }
  void backward_input(const LayerInput<Real>& input, const TokenIndex& index, std::span<Real> d_rows,
                      bool add_to_rows) {
    store_.backend().run(projection_gradient(input, index, d_rows, add_to_rows));
  }

 private:
  std::span<Real> saved() { return saved_.first(batch_.positions() * cell_.saved * hidden_); }
  std::span<Real> d_input() { return scratch_.d_input(packed_size(batch_.positions() * width_, packed_)); }
  RecurrenceForward<Real> recurrence(std::span<const Real> projected, std::span<const std::int32_t> row_of,
                                     std::span<Real> saved, bool last_only) {
    return {.cell = cell_.cell,
            .shape = batch_.sequences(hidden_),
            .lengths = batch_.lengths(),
            .by_length = batch_.by_length(),
            .input = {.values = projected, .width = width_, .row_of = row_of},
            .w_hh = store_.value(ids_.w_hh),
            .b_hh = ids_.b_hh ? store_.value(*ids_.b_hh) : std::span<const Real>(),
            .h = states(),
            .initial_c = c_.span(),
            .final_c = c_.span(),
            .saved = saved,
            .last_only = last_only,
            .packed = packed_};
  }
  RecurrenceBackward<Real> recurrence_gradient(const OutputGradient<Real>& d_output) {
    return {.cell = cell_.cell,
            .shape = batch_.sequences(hidden_),
            .lengths = batch_.lengths(),
            .by_length = batch_.by_length(),
            .h = states(),
            .saved = saved(),
            .w_hh = store_.value(ids_.w_hh),
            .d_output = d_output,
            .bptt = batch_.options().bptt,
            .d_input = d_input(),
            .d_recurrent =
                scratch_.d_recurrent(cell_.recurrent_bias ? packed_size(batch_.positions() * width_, packed_) : 0),
            .d_w_hh = store_.gradient(ids_.w_hh),
            .d_b_hh = ids_.b_hh ? store_.gradient(*ids_.b_hh) : std::span<Real>(),
            .packed = packed_};
  }
  ProjectTokens<Real> projection(std::span<const Real> table, std::span<const std::int32_t> count,
                                 std::span<const std::int32_t> tokens, const EmbeddingDropout& dropout,
                                 std::span<Real> to) const {
    return {.count = count,
            .tokens = tokens,
            .embedding = table,
            .w_ih = store_.value(ids_.w_ih),
            .bias = store_.value(ids_.bias),
            .dropout = dropout,
            .projected = to};
  }
  ProjectionGradient<Real> projection_gradient(const LayerInput<Real>& input, const TokenIndex& index,
                                               std::span<Real> d_rows, bool add_to_rows) {
    return {.shape = batch_.shape(),
            .index = index,
            .d_input = d_input(),
            .embedding = input.table,
            .w_ih = store_.value(ids_.w_ih),
            .dropout = input.dropout,
            .d_projected = scratch_.projected(index.capacity() * width_),
            .d_embedding = d_rows,
            .accumulate = add_to_rows,
            .d_w_ih = store_.gradient(ids_.w_ih),
            .d_bias = store_.gradient(ids_.bias),
            .packed = packed_};
  }

  ParameterStore<Real>& store_;
  const Batch& batch_;
  LayerScratch<Real>& scratch_;
  ParameterLayout::Direction ids_;
  CellTraits cell_;
  std::int64_t hidden_, width_;  // H, G*H
  bool keeps_state_ = false;
  bool packed_ = false;         // of the last forward()
  Buffer<Real> h_, saved_, c_;  // [T+1, B, H], [T, B, S*H], [B, H] or empty
};

template <class Real>
class RecurrentLayer {
 public:
  /// Keeps references to the store, the batch and the scratch, of which there is one for each direction.
  RecurrentLayer(ParameterStore<Real>& store, const Batch& batch, std::vector<LayerScratch<Real>>& scratch,
                 const std::vector<ParameterLayout::Direction>& directions)
      : backend_(store.backend()), as_one_(backend_.projects_input(store.config().cell)) {
    for (std::size_t d = 0; d < directions.size(); ++d) {
      directions_.emplace_back(store, batch, scratch[d], directions[d]);
    }
    for_each_direction([](Backend<Real>&, std::size_t) {});  // allocates what branches need
  }

  std::size_t directions() const { return directions_.size(); }
  LayerDirection<Real>& direction(std::size_t d) { return directions_[d]; }
  bool packed() const { return directions_.front().packed(); }
  /// [T+1, B, H] of a direction, in its own order of steps; empty where the layer does not have it.
  std::span<const Real> states(std::size_t d) {
    return d < directions_.size() ? directions_[d].states() : std::span<const Real>();
  }

  /// has_steps: see OutputGradient, of what will flow back.
  void forward(const LayerInput<Real>& input, bool has_steps) {
    for_each_direction([&](Backend<Real>& backend, std::size_t d) {
      directions_[d].forward(backend, input, input.index.of(d), has_steps);
    });
  }
  /// See LayerDirection: `projected` and `row_of` of each direction.
  void forward_projected(const std::vector<Buffer<Real>>& projected,
                         const std::vector<std::span<const std::int32_t>>& row_of, bool last_only) {
    for_each_direction([&](Backend<Real>& backend, std::size_t d) {
      directions_[d].forward_projected(backend, projected[d].span(), row_of[d], last_only);
    });
  }
  /// Of the forward() of `input` before it, with what `d_output` gives for each direction. Writes the gradients of the
  /// layer's parameters, and of the input's rows to `d_rows` [room for U, width of the input].
  template <class DOutput>
  void backward(const LayerInput<Real>& input, const DOutput& d_output, std::span<Real> d_rows) {
    const auto add_to_rows = [](std::size_t d) { return d > 0; };
    if (as_one_) {
      for (std::size_t d = 0; d < directions_.size(); ++d) {
        directions_[d].backward(input, input.index.of(d), d_output(d), d_rows, add_to_rows(d));
      }
      return;
    }
    for_each_direction(
        [&](Backend<Real>& backend, std::size_t d) { directions_[d].backward_through_time(backend, d_output(d)); });
    for (std::size_t d = 0; d < directions_.size(); ++d) {  // one after the other: into the same rows
      directions_[d].backward_input(input, input.index.of(d), d_rows, add_to_rows(d));
    }
  }

 private:
  /// Side by side; one after the other where a device does the projection and the recurrence as one: back, both add to
  /// the same rows, and forward, what is kept for that lies with the backend.
  template <class F>
  void for_each_direction(const F& f) {
    if (!as_one_) return backend_.run_branches(directions_.size(), f);
    for (std::size_t d = 0; d < directions_.size(); ++d) f(backend_, d);
  }

  Backend<Real>& backend_;
  bool as_one_;
  std::vector<LayerDirection<Real>> directions_;
};

}  // namespace reel
