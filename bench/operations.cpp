#include "bench/operations.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "bench/reviews.h"
#include "kernels/philox.h"

namespace reel::bench {
namespace {

template <class T>
Buffer<T> to_device(Backend<float>& backend, const std::vector<T>& values) {
  Buffer<T> buffer = backend.allocate<T>(static_cast<std::int64_t>(values.size()));
  backend.upload(std::span<const T>(values), buffer.span());
  return buffer;
}

/// Uniform in [-limit, limit].
Buffer<float> random(Backend<float>& backend, std::int64_t count, float limit) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = limit * (2 * random_uniform({.seed = 1}, i) - 1);
  return to_device(backend, values);
}

}  // namespace

Operations::Operations(Backend<float>& backend, const Shape& shape, bool ragged) : backend_(backend), shape_(shape) {
  const std::int64_t V = shape.vocabulary, E = shape.embedding, H = shape.hidden, B = shape.batch, T = shape.steps;
  const std::int64_t GH = shape.gates(), S = traits(shape.cell).saved;
  const std::int64_t U = max_distinct(shape.rows(), V);
  Backend<float>& b = backend_;
  const Dataset reviews = make_reviews(B, T, V, ragged);
  tokens_ = std::accumulate(reviews.lengths.begin(), reviews.lengths.end(), std::int64_t{0});
  ids_ = to_device(b, reviews.ids);
  lengths_ = to_device(b, reviews.lengths);
  count_ = b.allocate<std::int32_t>(1);
  distinct_ = b.allocate<std::int32_t>(U);
  slot_ = b.allocate<std::int32_t>(V);
  row_of_ = b.allocate<std::int32_t>(B * T);
  segment_ = b.allocate<std::int32_t>(U + 1);
  position_ = b.allocate<std::int32_t>(B * T);
  index_ = {count_.span(), distinct_.span(), slot_.span(), row_of_.span(), segment_.span(), position_.span()};
  const auto limit = [](std::int64_t fan) { return 1 / std::sqrt(static_cast<float>(fan)); };
  embedding_ = random(b, V * E, 0.05f);
  w_ih_ = random(b, GH * E, limit(E));
  bias_ = random(b, GH, limit(H));
  w_hh_ = random(b, GH * H, limit(H));
  d_last_ = random(b, B * H, limit(B));
  projected_ = b.allocate<float>(U * GH);
  packed_ = b.packs_sequences(shape.cell, shape.sequences(), U, false);
  h_ = b.allocate<float>(packed_size((T + 1) * B * H, packed_));
  saved_ = b.allocate<float>(T * B * S * H);
  dz_ = b.allocate<float>(packed_size(T * B * GH, packed_));
  if (traits(shape.cell).recurrent_bias) {
    b_hh_ = random(b, H, limit(H));
    d_recurrent_ = b.allocate<float>(static_cast<std::int64_t>(dz_.size()));
    d_b_hh_ = b.allocate<float>(H);
  }
  d_w_hh_ = b.allocate<float>(GH * H);
  d_projected_ = b.allocate<float>(U * GH);
  d_embedding_ = b.allocate<float>(U * E);
  d_w_ih_ = b.allocate<float>(GH * E);
  d_bias_ = b.allocate<float>(GH);
  b.run(IndexTokens{shape_.rows(), ids_.span(), lengths_.span(), index_});
  layer_forward();
  layer_backward();
  backend_.synchronize();
}

ProjectTokens<float> Operations::projection() {
  return {.count = index_.count,
          .tokens = index_.tokens,
          .embedding = embedding_.span(),
          .w_ih = w_ih_.span(),
          .bias = bias_.span(),
          .projected = projected_.span()};
}

RecurrenceForward<float> Operations::recurrence() {
  return {.cell = shape_.cell,
          .shape = shape_.sequences(),
          .lengths = lengths_.span(),
          .input = {.values = projected_.span(), .width = shape_.gates(), .row_of = row_of_.span()},
          .w_hh = w_hh_.span(),
          .b_hh = b_hh_.span(),
          .h = h_.span(),
          .saved = saved_.span(),
          .packed = packed_};
}

RecurrenceBackward<float> Operations::recurrence_gradient() {
  return {.cell = shape_.cell,
          .shape = shape_.sequences(),
          .lengths = lengths_.span(),
          .h = h_.span(),
          .saved = saved_.span(),
          .w_hh = w_hh_.span(),
          .d_output = {.last = d_last_.span(), .every = {}},
          .d_input = dz_.span(),
          .d_recurrent = d_recurrent_.span(),
          .d_w_hh = d_w_hh_.span(),
          .d_b_hh = d_b_hh_.span(),
          .packed = packed_};
}

ProjectionGradient<float> Operations::projection_gradient() {
  return {.shape = shape_.rows(),
          .index = index_,
          .d_input = dz_.span(),
          .embedding = embedding_.span(),
          .w_ih = w_ih_.span(),
          .d_projected = d_projected_.span(),
          .d_embedding = d_embedding_.span(),
          .d_w_ih = d_w_ih_.span(),
          .d_bias = d_bias_.span(),
          .packed = packed_};
}

void Operations::project() { backend_.run(projection()); }
void Operations::recurrence_forward() { backend_.run(recurrence()); }
void Operations::recurrence_backward() { backend_.run(recurrence_gradient()); }
void Operations::embedding_gradient() { backend_.run(projection_gradient()); }
void Operations::layer_forward() { backend_.run(projection(), recurrence()); }
void Operations::layer_backward() { backend_.run(recurrence_gradient(), projection_gradient()); }

std::int64_t Operations::distinct_tokens() const {
  std::vector<std::int32_t> count(1);
  backend_.download(count_.span(), std::span(count));
  return count[0];
}

std::vector<float> Operations::by_word(const std::vector<float>& rows) const {
  std::vector<std::int32_t> tokens(distinct_.size());
  backend_.download(distinct_.span(), std::span(tokens));
  tokens.resize(static_cast<std::size_t>(distinct_tokens()));
  const auto width = static_cast<std::size_t>(shape_.embedding);
  std::vector<float> all(static_cast<std::size_t>(shape_.vocabulary) * width);
  for (std::size_t u = 0; u < tokens.size(); ++u) {
    std::copy_n(rows.data() + u * width, width, all.data() + static_cast<std::size_t>(tokens[u]) * width);
  }
  return all;
}

std::vector<std::vector<float>> Operations::results() const {
  const auto to_host = [&](const Buffer<float>& buffer) {
    std::vector<float> values(buffer.size());
    backend_.download(buffer.span(), std::span(values));
    return values;
  };
  std::vector<std::int32_t> lengths(lengths_.size());
  backend_.download(lengths_.span(), std::span(lengths));
  const auto sequences_to_host = [&](const Buffer<float>& buffer, float (*from)(std::uint16_t)) {
    const std::vector<float> elements = to_host(buffer);
    return packed_ ? unpacked(std::span(elements), from) : elements;
  };
  std::vector<std::vector<float>> all{sequences_to_host(h_, from_fp16),
                                      by_word(to_host(d_embedding_)),
                                      to_host(d_w_ih_),
                                      to_host(d_bias_),
                                      to_host(d_w_hh_),
                                      to_host(d_b_hh_)};
  const bool has_dz = !backend_.projects_input(shape_.cell);
  if (has_dz) all.push_back(sequences_to_host(dz_, from_bfloat16));
  const auto B = lengths.size(), H = static_cast<std::size_t>(shape_.hidden);
  const auto GH = static_cast<std::size_t>(shape_.gates());
  for (std::size_t b = 0; b < B; ++b) {
    const auto length = static_cast<std::size_t>(lengths[b]), T = static_cast<std::size_t>(shape_.steps);
    for (std::size_t t = length; t < T; ++t) {
      std::fill_n(all[0].begin() + static_cast<std::ptrdiff_t>(((t + 1) * B + b) * H), H, 0.0f);
      if (has_dz) std::fill_n(all.back().begin() + static_cast<std::ptrdiff_t>((t * B + b) * GH), GH, 0.0f);
    }
  }
  return all;
}

double relative_difference(const Operations& actual, const Operations& expected) {
  const auto found = actual.results(), wanted = expected.results();
  double worst = 0;
  for (std::size_t tensor = 0; tensor < std::min(found.size(), wanted.size()); ++tensor) {
    double largest = 1e-30, difference = 0;
    for (std::size_t i = 0; i < wanted[tensor].size(); ++i) {
      const double apart = std::abs(static_cast<double>(found[tensor][i]) - static_cast<double>(wanted[tensor][i]));
      largest = std::max(largest, std::abs(static_cast<double>(wanted[tensor][i])));
      difference = apart > difference || std::isnan(apart) ? apart : difference;
    }
    worst = difference / largest > worst || std::isnan(difference) ? difference / largest : worst;
  }
  return worst;
}

}  // namespace reel::bench
