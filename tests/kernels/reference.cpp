#include "tests/kernels/reference.h"

#include <algorithm>
#include <cmath>

#include "kernels/philox.h"

namespace reel::test {
namespace {

struct Indexer {
  std::size_t V, E, H, B, T;
  std::size_t h(std::size_t t, std::size_t b, std::size_t j) const { return (t * B + b) * H + j; }
};

double keep(const Problem& p, std::size_t position) {
  if (p.dropout <= 0) return 1;
  const RandomKey key{.seed = 7, .stream = RandomStream::kDropout, .step = 3};
  return random_uniform(key, position) >= p.dropout ? 1 / (1 - static_cast<double>(p.dropout)) : 0;
}

void forward(const Problem& p, const Indexer& n, Results& r) {
  std::copy(p.h0.begin(), p.h0.end(), r.h.begin());
  for (std::size_t b = 0; b < n.B; ++b) {
    const auto length = static_cast<std::size_t>(p.lengths[b]);
    for (std::size_t t = 0; t < length; ++t) {
      const auto id = static_cast<std::size_t>(p.ids[b * n.T + t]);
      for (std::size_t j = 0; j < n.H; ++j) {
        double z = p.bias[j];
        for (std::size_t e = 0; e < n.E; ++e) z += p.w_ih[j * n.E + e] * p.embedding[id * n.E + e];
        for (std::size_t i = 0; i < n.H; ++i) z += p.w_hh[j * n.H + i] * r.h[n.h(t, b, i)];
        r.h[n.h(t + 1, b, j)] = p.cell == Cell::kTanh ? std::tanh(z) : std::max(z, 0.0);
      }
    }
    double logit = p.fc_bias[0];
    for (std::size_t j = 0; j < n.H; ++j) {
      double pooled = p.pool == Pool::kLast ? r.h[n.h(length, b, j)] : 0;
      if (p.pool == Pool::kMean) {
        for (std::size_t t = 1; t <= length; ++t) pooled += r.h[n.h(t, b, j)] / static_cast<double>(length);
      }
      pooled *= keep(p, b * n.H + j);
      r.pooled[b * n.H + j] = pooled;
      logit += p.fc_weight[j] * pooled;
    }
    r.logits[b] = logit;
    const double probability = 1 / (1 + std::exp(-logit));
    r.loss_sum -= p.labels[b] != 0 ? std::log(probability) : std::log(1 - probability);
    r.correct += (logit > 0) == (p.labels[b] != 0) ? 1 : 0;
  }
}

void backward_row(const Problem& p, const Indexer& n, std::size_t b, Results& r) {
  const auto length = static_cast<std::size_t>(p.lengths[b]);
  std::vector<double> dh(n.H), before(n.H);
  for (std::size_t j = 0; j < n.H; ++j) dh[j] = p.pool == Pool::kLast ? r.d_state[b * n.H + j] : 0;
  for (std::size_t t = length; t-- > 0;) {
    const auto id = static_cast<std::size_t>(p.ids[b * n.T + t]);
    std::fill(before.begin(), before.end(), 0.0);
    for (std::size_t j = 0; j < n.H; ++j) {
      if (p.pool == Pool::kMean) dh[j] += r.d_state[b * n.H + j];
      const double h = r.h[n.h(t + 1, b, j)];
      const double dz = dh[j] * (p.cell == Cell::kTanh ? 1 - h * h : h > 0 ? 1 : 0);
      r.dz[n.h(t, b, j)] = dz;
      r.d_bias[j] += dz;
      for (std::size_t i = 0; i < n.H; ++i) {
        r.d_w_hh[j * n.H + i] += dz * r.h[n.h(t, b, i)];
        before[i] += p.w_hh[j * n.H + i] * dz;
      }
      for (std::size_t e = 0; e < n.E; ++e) {
        r.d_w_ih[j * n.E + e] += dz * p.embedding[id * n.E + e];
        r.d_embedding[id * n.E + e] += dz * p.w_ih[j * n.E + e];
      }
    }
    dh = before;
  }
}

}  // namespace

Results reference(const Problem& p) {
  const Shape& s = p.shape;
  const Indexer n{static_cast<std::size_t>(s.vocabulary), static_cast<std::size_t>(s.embedding),
                  static_cast<std::size_t>(s.hidden), static_cast<std::size_t>(s.batch),
                  static_cast<std::size_t>(s.steps)};
  Results r;
  r.h.resize((n.T + 1) * n.B * n.H);
  r.dz.resize(n.T * n.B * n.H);
  for (auto* v : {&r.pooled, &r.d_state}) v->resize(n.B * n.H);
  r.logits.resize(n.B);
  r.d_fc_weight.resize(n.H);
  r.d_fc_bias.resize(1);
  r.d_w_hh.resize(n.H * n.H);
  r.d_embedding.resize(n.V * n.E);
  r.d_w_ih.resize(n.H * n.E);
  r.d_bias.resize(n.H);

  forward(p, n, r);
  for (std::size_t b = 0; b < n.B; ++b) {
    const double d_logit = (1 / (1 + std::exp(-r.logits[b])) - p.labels[b]) / static_cast<double>(n.B);
    r.d_fc_bias[0] += d_logit;
    for (std::size_t j = 0; j < n.H; ++j) {
      r.d_fc_weight[j] += d_logit * r.pooled[b * n.H + j];
      const double share = p.pool == Pool::kLast ? 1 : p.lengths[b] > 0 ? 1.0 / p.lengths[b] : 0;
      r.d_state[b * n.H + j] = d_logit * p.fc_weight[j] * keep(p, b * n.H + j) * share;
    }
    backward_row(p, n, b, r);
  }
  return r;
}

}  // namespace reel::test
