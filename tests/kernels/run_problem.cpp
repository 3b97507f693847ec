#include "tests/kernels/run_problem.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace reel::test {
namespace {

template <class Real>
class Runner {
 public:
  Runner(Backend<Real>& backend, const Problem& problem, bool orders_rows)
      : backend_(backend),
        p_(problem),
        by_length_(backend.template allocate<std::int32_t>(orders_rows ? p_.shape.batch : 0)) {
    const auto [V, E, H, B, T] = p_.shape;
    const std::int64_t U = p_.shape.distinct();
    for (auto [buffer, count] : {std::pair{&tokens_, U},
                                 {&slot_, V},
                                 {&row_of_, B * T},
                                 {&segment_, U + 1},
                                 {&position_, B * T},
                                 {&count_, std::int64_t{1}}}) {
      *buffer = backend.template allocate<std::int32_t>(count);
    }
    index_ = {.count = count_.span(),
              .tokens = tokens_.span(),
              .slot = slot_.span(),
              .row_of = row_of_.span(),
              .segment = segment_.span(),
              .position = position_.span()};
  }

  Results run() {
    forward();
    backward();
    Results r;
    r.h = sequences_to_host(h_, from_fp16);
    clear_undefined(std::span(r.h).subspan(static_cast<std::size_t>(p_.shape.batch * p_.shape.hidden)),
                    p_.shape.hidden);
    r.pooled = to_host(pooled_);
    r.argmax = to_host(argmax_);
    r.by_length = to_host(by_length_);
    r.logits = to_host(logits_);
    std::vector<BatchStats> stats(1);
    backend_.download(std::span<const BatchStats>(stats_.span()), std::span(stats));
    r.loss_sum = stats[0].loss_sum;
    r.correct = stats[0].correct;
    r.d_fc_weight = to_host(d_fc_weight_);
    r.d_fc_bias = to_host(d_fc_bias_);
    r.d_state = to_host(d_state_);
    if (!backend_.projects_input(p_.cell)) {
      r.dz = sequences_to_host(dz_, from_bfloat16);
      clear_undefined(r.dz, gates_);
    }
    r.d_w_hh = to_host(d_w_hh_);
    r.d_b_hh = to_host(d_b_hh_);
    r.d_w_ih = to_host(d_w_ih_);
    r.d_bias = to_host(d_bias_);
    r.d_embedding = dense_embedding();
    return r;
  }

 private:
  Buffer<Real> zeros(std::int64_t count) { return backend_.template allocate<Real>(count); }

  Buffer<Real> to_device(const std::vector<double>& values, std::int64_t room = 0) {
    std::vector<Real> converted(values.begin(), values.end());
    converted.resize(std::max(converted.size(), static_cast<std::size_t>(room)));
    Buffer<Real> buffer = zeros(static_cast<std::int64_t>(converted.size()));
    backend_.upload(std::span<const Real>(converted), buffer.span());
    return buffer;
  }

  Buffer<std::int32_t> to_device(const std::vector<std::int32_t>& values) {
    auto buffer = backend_.template allocate<std::int32_t>(static_cast<std::int64_t>(values.size()));
    backend_.upload(std::span<const std::int32_t>(values), buffer.span());
    return buffer;
  }

  template <class T>
  std::vector<double> to_host(const Buffer<T>& buffer) {
    std::vector<T> values(buffer.size());
    backend_.download(buffer.span(), std::span(values));
    return {values.begin(), values.end()};
  }

  std::vector<double> sequences_to_host(const Buffer<Real>& buffer, float (*from)(std::uint16_t)) {
    if (!packed_) return to_host(buffer);
    std::vector<Real> values(buffer.size());
    backend_.download(buffer.span(), std::span(values));
    const std::vector<float> numbers = unpacked(std::span<const Real>(values), from);
    return {numbers.begin(), numbers.end()};
  }

  /// States of [T+1, B, H] of which the first are given, the others undefined.
  Buffer<Real> states(const std::vector<double>& first, std::int64_t size) {
    if (!packed_) return to_device(first, size);
    Buffer<Real> buffer = zeros(packed_size(size, true));
    std::vector<std::uint16_t> numbers(static_cast<std::size_t>(size), kUndefined);
    std::ranges::transform(first, numbers.begin(), to_fp16);
    std::vector<Real> elements(buffer.size());
    std::memcpy(elements.data(), numbers.data(), numbers.size() * sizeof numbers[0]);
    backend_.upload(std::span<const Real>(elements), buffer.span());
    return buffer;
  }
  static constexpr std::uint16_t kUndefined = 0x7E00;  // NaN

  /// The fp16 number next to x, of magnitude 2^-14 to 1, or 0.
  static std::uint16_t to_fp16(double x) {
    int exponent = 0;
    const double fraction = std::frexp(std::abs(x), &exponent);  // 0.5 to 1
    const auto bits = x == 0 ? 0 : std::lround(std::ldexp(fraction, 11)) - 1024 + ((exponent + 14) << 10);
    return static_cast<std::uint16_t>(bits + (x < 0 ? 0x8000 : 0));
  }

  /// The last row of [B, width] first.
  template <class T>
  std::vector<T> reversed(const std::vector<T>& values, std::int64_t width) const {
    std::vector<T> rows;
    for (auto end = values.end(); end != values.begin(); end -= width) rows.insert(rows.end(), end - width, end);
    return rows;
  }

  Buffer<float> to_floats(const std::vector<double>& values) {
    const std::vector<float> converted(values.begin(), values.end());
    auto buffer = backend_.template allocate<float>(static_cast<std::int64_t>(values.size()));
    backend_.upload(std::span<const float>(converted), buffer.span());
    return buffer;
  }

  /// The batch, of a data set that holds its rows from the last to the first.
  void select() {
    const auto [V, E, H, B, T] = p_.shape;
    const std::int64_t C = p_.outputs.count;
    std::vector<std::int32_t> order, begin, columns;
    std::vector<double> values;
    const std::vector<double> targets = reversed(p_.targets, C);
    for (std::int64_t b = 0; b < B; ++b) order.push_back(static_cast<std::int32_t>(B - 1 - b));
    for (std::size_t i = 0; i < targets.size(); ++i) {
      if (i % static_cast<std::size_t>(C) == 0) begin.push_back(static_cast<std::int32_t>(values.size()));
      if (targets[i] == 0) continue;
      columns.push_back(static_cast<std::int32_t>(i % static_cast<std::size_t>(C)));
      values.push_back(targets[i]);
    }
    if (!targets.empty()) begin.push_back(static_cast<std::int32_t>(values.size()));
    ids_ = backend_.template allocate<std::int32_t>(B * T);
    lengths_ = backend_.template allocate<std::int32_t>(B);
    labels_ = to_device(std::vector<std::int32_t>(p_.labels.size(), 7));  // nobody has to clear these
    targets_ = to_floats(std::vector<double>(targets.size(), 7.0));
    weights_ = to_floats(std::vector<double>(p_.weights.size(), 7.0));
    positive_weights_ = to_floats(p_.positive_weights);
    const auto data_ids = to_device(reversed(p_.ids, T)), data_lengths = to_device(reversed(p_.lengths, 1)),
               data_labels = to_device(reversed(p_.labels, 1)), rows = to_device(order),
               target_begin = to_device(begin), target_columns = to_device(columns);
    const auto target_values = to_floats(values), data_weights = to_floats(reversed(p_.weights, 1));
    backend_.run(SelectRows{.shape = p_.shape.rows(),
                            .data_ids = data_ids.span(),
                            .data_lengths = data_lengths.span(),
                            .data_labels = data_labels.span(),
                            .data_targets = {target_begin.span(), target_columns.span(), target_values.span()},
                            .data_weights = data_weights.span(),
                            .rows = rows.span(),
                            .ids = ids_.span(),
                            .lengths = lengths_.span(),
                            .by_length = by_length_.span(),
                            .labels = labels_.span(),
                            .targets = targets_.span(),
                            .weights = weights_.span()});
    backend_.synchronize();
  }

  void forward() {
    const auto [V, E, H, B, T] = p_.shape;
    const std::int64_t P = p_.pooled_width();
    select();
    embedding_ = to_device(p_.embedding);
    w_ih_ = to_device(p_.w_ih);
    w_hh_ = to_device(p_.w_hh);
    fc_weight_ = to_device(p_.fc_weight);
    const Buffer<Real> bias = to_device(p_.bias), fc_bias = to_device(p_.fc_bias);
    b_hh_ = to_device(p_.b_hh);
    projected_ = zeros(p_.shape.distinct() * gates_);
    saved_ = zeros(T * B * traits(p_.cell).saved * H);
    packed_ = backend_.packs_sequences(p_.cell, p_.shape.sequences(), p_.shape.distinct(), has_maximum(p_.pool));
    h_ = states(p_.h0, (T + 1) * B * H);
    pooled_ = zeros(B * P);
    if (has_maximum(p_.pool)) argmax_ = backend_.template allocate<std::int32_t>(B * H);
    logits_ = zeros(B * p_.outputs.count);
    backend_.run(
        IndexTokens{.shape = p_.shape.rows(), .ids = ids_.span(), .lengths = lengths_.span(), .index = index_});
    backend_.run(
        ProjectTokens<Real>{.count = index_.count,
                            .tokens = index_.tokens,
                            .embedding = embedding_.span(),
                            .w_ih = w_ih_.span(),
                            .bias = bias.span(),
                            .projected = projected_.span()},
        RecurrenceForward<Real>{.cell = p_.cell,
                                .shape = p_.shape.sequences(),
                                .lengths = lengths_.span(),
                                .by_length = by_length_.span(),
                                .input = {.values = projected_.span(), .width = gates_, .row_of = row_of_.span()},
                                .w_hh = w_hh_.span(),
                                .b_hh = b_hh_.span(),
                                .h = h_.span(),
                                .saved = saved_.span(),
                                .packed = packed_});
    backend_.run(HeadForward<Real>{.shape = p_.shape.sequences(),
                                   .lengths = lengths_.span(),
                                   .h = h_.span(),
                                   .pool = p_.pool,
                                   .dropout = p_.dropout,
                                   .dropout_key = kDropoutKey,
                                   .fc_weight = fc_weight_.span(),
                                   .fc_bias = fc_bias.span(),
                                   .pooled = pooled_.span(),
                                   .argmax = argmax_.span(),
                                   .logits = logits_.span(),
                                   .packed = packed_});
    backend_.synchronize();
  }

  void backward() {
    const auto [V, E, H, B, T] = p_.shape;
    const std::int64_t U = p_.shape.distinct(), P = p_.pooled_width();
    stats_ = backend_.template allocate<BatchStats>(1);
    d_fc_weight_ = zeros(p_.outputs.count * P);
    d_fc_bias_ = zeros(p_.outputs.count);
    d_state_ = zeros(B * P);
    const std::int64_t gradients = packed_size(T * B * gates_, packed_);
    dz_ = to_device(std::vector<double>(static_cast<std::size_t>(gradients), 7.0));  // nobody has to clear it
    if (traits(p_.cell).recurrent_bias) {
      d_recurrent_ = to_device(std::vector<double>(dz_.size(), 7.0));
      d_b_hh_ = zeros(H);
    }
    d_w_hh_ = zeros(gates_ * H);
    d_projected_ = zeros(U * gates_);
    d_embedding_ = zeros(U * E);
    d_w_ih_ = zeros(gates_ * E);
    d_bias_ = zeros(gates_);
    backend_.run(HeadBackward<Real>{.shape = p_.shape.sequences(),
                                    .loss = p_.outputs.loss,
                                    .labels = labels_.span(),
                                    .targets = targets_.span(),
                                    .weights = weights_.span(),
                                    .positive_weights = positive_weights_.span(),
                                    .logits = logits_.span(),
                                    .stats = stats_.span(),
                                    .lengths = lengths_.span(),
                                    .pooled = pooled_.span(),
                                    .fc_weight = fc_weight_.span(),
                                    .pool = p_.pool,
                                    .dropout = p_.dropout,
                                    .dropout_key = kDropoutKey,
                                    .d_fc_weight = d_fc_weight_.span(),
                                    .d_fc_bias = d_fc_bias_.span(),
                                    .d_state = d_state_.span()});
    backend_.run(
        RecurrenceBackward<Real>{.cell = p_.cell,
                                 .shape = p_.shape.sequences(),
                                 .lengths = lengths_.span(),
                                 .by_length = by_length_.span(),
                                 .h = h_.span(),
                                 .saved = saved_.span(),
                                 .w_hh = w_hh_.span(),
                                 .d_output = output_gradient<Real>(p_.pool, 1, 0, d_state_.span(), argmax_.span()),
                                 .d_input = dz_.span(),
                                 .d_recurrent = d_recurrent_.span(),
                                 .d_w_hh = d_w_hh_.span(),
                                 .d_b_hh = d_b_hh_.span(),
                                 .packed = packed_},
        ProjectionGradient<Real>{.shape = p_.shape.rows(),
                                 .index = index_,
                                 .d_input = dz_.span(),
                                 .embedding = embedding_.span(),
                                 .w_ih = w_ih_.span(),
                                 .d_projected = d_projected_.span(),
                                 .d_embedding = d_embedding_.span(),
                                 .d_w_ih = d_w_ih_.span(),
                                 .d_bias = d_bias_.span(),
                                 .packed = packed_});
  }

  /// Writes 0 where the contract leaves `values` [T, B, width] undefined.
  void clear_undefined(std::span<double> values, std::int64_t width) const {
    const auto [V, E, H, B, T] = p_.shape;
    for (std::int64_t cell = 0; cell < T * B; ++cell) {
      if (cell / B < p_.lengths[static_cast<std::size_t>(cell % B)]) continue;
      std::fill_n(values.begin() + cell * width, width, 0.0);
    }
  }

  std::vector<double> dense_embedding() {
    const auto E = static_cast<std::size_t>(p_.shape.embedding);
    const std::vector<double> rows = to_host(d_embedding_);
    const std::vector<double> slots = to_host(slot_);
    std::vector<double> dense(p_.embedding.size());
    for (std::size_t v = 0; v < slots.size(); ++v) {
      if (slots[v] < 0) continue;
      const auto from = rows.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(slots[v]) * E);
      std::copy_n(from, E, dense.begin() + static_cast<std::ptrdiff_t>(v * E));
    }
    return dense;
  }

  static constexpr RandomKey kDropoutKey{.seed = 7, .stream = RandomStream::kDropout, .step = 3};

  Backend<Real>& backend_;
  const Problem& p_;
  std::int64_t gates_ = traits(p_.cell).gates * p_.shape.hidden;  // G*H
  bool packed_ = false;                                           // h_ and dz_
  TokenIndex index_;
  Buffer<std::int32_t> count_, tokens_, slot_, row_of_, segment_, position_, ids_, lengths_, by_length_, labels_,
      argmax_;
  Buffer<Real> embedding_, w_ih_, w_hh_, b_hh_, fc_weight_, projected_, h_, saved_, pooled_, logits_;
  Buffer<Real> d_fc_weight_, d_fc_bias_, d_state_, dz_, d_recurrent_, d_w_hh_, d_b_hh_, d_projected_, d_embedding_,
      d_w_ih_, d_bias_;
  Buffer<float> targets_, weights_, positive_weights_;
  Buffer<BatchStats> stats_;
};

}  // namespace

template <class Real>
Results run_problem(Backend<Real>& backend, const Problem& problem, bool orders_rows) {
  return Runner<Real>(backend, problem, orders_rows).run();
}

template Results run_problem(Backend<float>&, const Problem&, bool);
template Results run_problem(Backend<double>&, const Problem&, bool);

}  // namespace reel::test
