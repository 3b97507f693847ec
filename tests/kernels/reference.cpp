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

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// One row's values at every step, of gated cells: gates in PyTorch's order, then m of GRU or c of LSTM.
struct Saved {
  std::vector<double> values;  // [T][5][H]
  std::size_t H;
  double& at(std::size_t t, std::size_t block, std::size_t j) { return values[(t * 5 + block) * H + j]; }
};

/// What flows into the gates at step t of row b: W_ih x + bias, and W_hh h.
void gate_inputs(const Problem& p, const Indexer& n, const Results& r, std::size_t b, std::size_t t,
                 std::vector<double>& x, std::vector<double>& u) {
  const auto id = static_cast<std::size_t>(p.ids[b * n.T + t]);
  for (std::size_t j = 0; j < x.size(); ++j) {
    x[j] = p.bias[j];
    u[j] = 0;
    for (std::size_t e = 0; e < n.E; ++e) x[j] += p.w_ih[j * n.E + e] * p.embedding[id * n.E + e];
    for (std::size_t i = 0; i < n.H; ++i) u[j] += p.w_hh[j * n.H + i] * r.h[n.h(t, b, i)];
  }
}

/// h of step t + 1 of row b.
void step(const Problem& p, const Indexer& n, Results& r, std::size_t b, std::size_t t, Saved& saved) {
  const std::size_t H = n.H;
  std::vector<double> x(p.bias.size()), u(p.bias.size());
  gate_inputs(p, n, r, b, t, x, u);
  for (std::size_t j = 0; j < H; ++j) {
    const auto z = [&](std::size_t gate) { return x[gate * H + j] + u[gate * H + j]; };
    double& h = r.h[n.h(t + 1, b, j)];
    switch (p.cell) {
      case Cell::kTanh:
        h = std::tanh(z(0));
        break;
      case Cell::kRelu:
        h = std::max(z(0), 0.0);
        break;
      case Cell::kGru: {
        const double reset = saved.at(t, 0, j) = sigmoid(z(0)), update = saved.at(t, 1, j) = sigmoid(z(1));
        const double m = saved.at(t, 3, j) = u[2 * H + j] + p.b_hh[j];
        const double candidate = saved.at(t, 2, j) = std::tanh(x[2 * H + j] + reset * m);
        h = (1 - update) * candidate + update * r.h[n.h(t, b, j)];
        break;
      }
      case Cell::kLstm: {
        const double i = saved.at(t, 0, j) = sigmoid(z(0)), f = saved.at(t, 1, j) = sigmoid(z(1));
        const double g = saved.at(t, 2, j) = std::tanh(z(2)), o = saved.at(t, 3, j) = sigmoid(z(3));
        const double c = saved.at(t, 4, j) = f * (t > 0 ? saved.at(t - 1, 4, j) : 0) + i * g;
        h = o * std::tanh(c);
        break;
      }
    }
  }
}

double keep(const Problem& p, std::size_t position) {
  if (p.dropout <= 0) return 1;
  const RandomKey key{.seed = 7, .stream = RandomStream::kDropout, .step = 3};
  return random_uniform(key, position) >= p.dropout ? 1 / (1 - static_cast<double>(p.dropout)) : 0;
}

Pool part_of(const Problem& p, std::size_t part) { return pooled_part(p.pool, static_cast<std::int64_t>(part)); }

/// The h of row b, from 1, in which unit j is largest.
std::size_t largest_step(const Problem& p, const Indexer& n, const Results& r, std::size_t b, std::size_t j) {
  std::size_t largest = 1;
  for (std::size_t t = 2; t <= static_cast<std::size_t>(p.lengths[b]); ++t) {
    if (r.h[n.h(t, b, j)] > r.h[n.h(largest, b, j)]) largest = t;
  }
  return largest;
}

double pool_unit(const Problem& p, const Indexer& n, const Results& r, std::size_t b, std::size_t part, std::size_t j) {
  const auto length = static_cast<std::size_t>(p.lengths[b]);
  if (part_of(p, part) == Pool::kLast) return r.h[n.h(length, b, j)];
  if (length == 0) return 0;
  if (part_of(p, part) == Pool::kMax) return r.h[n.h(largest_step(p, n, r, b, j), b, j)];
  double mean = 0;
  for (std::size_t t = 1; t <= length; ++t) mean += r.h[n.h(t, b, j)] / static_cast<double>(length);
  return mean;
}

/// What flows from the pooled state into h of step t + 1.
double pooled_gradient(const Problem& p, const Indexer& n, const Results& r, std::size_t b, std::size_t t,
                       std::size_t j) {
  double sum = 0;
  for (std::size_t part = 0; part < static_cast<std::size_t>(pooled_parts(p.pool)); ++part) {
    const bool here = part_of(p, part) == Pool::kMean ||
                      (part_of(p, part) == Pool::kLast ? t + 1 == static_cast<std::size_t>(p.lengths[b])
                                                       : static_cast<double>(t) == r.argmax[b * n.H + j]);
    if (here) sum += r.d_state[(part * n.B + b) * n.H + j];
  }
  return sum;
}

double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

std::size_t first_largest(const double* values, std::size_t count) {
  return static_cast<std::size_t>(std::max_element(values, values + count) - values);
}

/// Adds what row b measured; its gradient of the mean loss with respect to the logits.
std::vector<double> measure(const Problem& p, const Indexer& n, std::size_t b, Results& r) {
  const auto C = static_cast<std::size_t>(p.outputs.count);
  const double* const x = r.logits.data() + b * C;
  std::vector<double> y(C), d(C);
  for (std::size_t c = 0; c < C; ++c) {
    const auto label = p.labels.empty() ? 0 : static_cast<std::size_t>(p.labels[b]);
    y[c] = !p.targets.empty()                 ? p.targets[b * C + c]
           : p.outputs.loss == Loss::kSoftmax ? (label == c ? 1 : 0)
                                              : static_cast<double>(label);
  }
  double loss = 0, normaliser = 0, all = 0;
  for (std::size_t c = 0; c < C; ++c) all += y[c];
  const std::size_t largest = first_largest(x, C);
  for (std::size_t c = 0; c < C; ++c) normaliser += std::exp(x[c] - x[largest]);
  if (p.outputs.loss == Loss::kSoftmax) r.correct += largest == first_largest(y.data(), C) ? 1 : 0;
  for (std::size_t c = 0; c < C; ++c) {
    const double w = p.positive_weights.empty() ? 1 : p.positive_weights[c], share = 1.0 / static_cast<double>(C);
    switch (p.outputs.loss) {
      case Loss::kSigmoid:  // -w y log p - (1 - y) log(1 - p)
        loss += share * (w * y[c] * softplus(-x[c]) + (1 - y[c]) * softplus(x[c]));
        d[c] = share * ((1 - y[c]) * sigmoid(x[c]) - w * y[c] * sigmoid(-x[c]));
        r.correct += (x[c] > 0) == (y[c] > 0.5) ? 1 : 0;
        break;
      case Loss::kSoftmax:
        loss -= y[c] * (x[c] - x[largest] - std::log(normaliser));
        d[c] = all * std::exp(x[c] - x[largest]) / normaliser - y[c];
        break;
      case Loss::kSquared:
        loss += share * (x[c] - y[c]) * (x[c] - y[c]);
        d[c] = share * 2 * (x[c] - y[c]);
    }
  }
  const double weight = p.weights.empty() ? 1 : p.weights[b];
  r.loss_sum += weight * loss;
  for (double& value : d) value *= weight / static_cast<double>(n.B);
  return d;
}

void forward(const Problem& p, const Indexer& n, Results& r) {
  std::copy(p.h0.begin(), p.h0.end(), r.h.begin());
  for (std::size_t b = 0; b < n.B; ++b) {
    const auto length = static_cast<std::size_t>(p.lengths[b]);
    Saved saved{std::vector<double>(n.T * 5 * n.H), n.H};
    for (std::size_t t = 0; t < length; ++t) step(p, n, r, b, t, saved);
    const auto P = static_cast<std::size_t>(p.pooled_width()), C = p.fc_bias.size();
    for (std::size_t column = 0; column < P; ++column) {
      r.pooled[b * P + column] = pool_unit(p, n, r, b, column / n.H, column % n.H) * keep(p, b * P + column);
    }
    for (std::size_t c = 0; c < C; ++c) {
      double logit = p.fc_bias[c];
      for (std::size_t column = 0; column < P; ++column)
        logit += p.fc_weight[c * P + column] * r.pooled[b * P + column];
      r.logits[b * C + c] = logit;
    }
  }
}

void head_backward(const Problem& p, const Indexer& n, Results& r) {
  const auto P = static_cast<std::size_t>(p.pooled_width()), C = p.fc_bias.size();
  for (std::size_t b = 0; b < n.B; ++b) {
    const std::vector<double> d_logits = measure(p, n, b, r);
    for (std::size_t j = 0; j < P; ++j) {
      double d_pooled = 0;
      for (std::size_t c = 0; c < C; ++c) {
        d_pooled += d_logits[c] * p.fc_weight[c * P + j];
        r.d_fc_weight[c * P + j] += d_logits[c] * r.pooled[b * P + j];
      }
      const bool mean = part_of(p, j / n.H) == Pool::kMean;
      const double share = !mean ? 1 : p.lengths[b] > 0 ? 1.0 / p.lengths[b] : 0;
      r.d_state[(j / n.H * n.B + b) * n.H + j % n.H] = d_pooled * keep(p, b * P + j) * share;
    }
    for (std::size_t c = 0; c < C; ++c) r.d_fc_bias[c] += d_logits[c];
  }
  if (p.outputs.loss == Loss::kSigmoid) r.correct /= static_cast<double>(C);
}

void backward_row(const Problem& p, const Indexer& n, std::size_t b, Results& r) {
  const auto length = static_cast<std::size_t>(p.lengths[b]);
  const std::size_t H = n.H, GH = p.bias.size();
  Saved saved{std::vector<double>(n.T * 5 * H), H};
  for (std::size_t t = 0; t < length; ++t) step(p, n, r, b, t, saved);
  std::vector<double> dh(H), before(H), dc(H), d_input(GH), d_recurrent(GH);
  for (std::size_t t = length; t-- > 0;) {
    const auto id = static_cast<std::size_t>(p.ids[b * n.T + t]);
    std::fill(before.begin(), before.end(), 0.0);
    for (std::size_t j = 0; j < H; ++j) {
      dh[j] += pooled_gradient(p, n, r, b, t, j);
      const double h = r.h[n.h(t + 1, b, j)], h_before = r.h[n.h(t, b, j)];
      const auto s = [&](std::size_t block) { return saved.at(t, block, j); };
      const auto slope = [](double y) { return y * (1 - y); };
      if (p.cell == Cell::kTanh || p.cell == Cell::kRelu) {
        d_input[j] = d_recurrent[j] = dh[j] * (p.cell == Cell::kTanh ? 1 - h * h : h > 0 ? 1 : 0);
      } else if (p.cell == Cell::kGru) {
        const double d_n = dh[j] * (1 - s(1)) * (1 - s(2) * s(2));
        d_input[j] = d_recurrent[j] = d_n * s(3) * slope(s(0));
        d_input[H + j] = d_recurrent[H + j] = dh[j] * (h_before - s(2)) * slope(s(1));
        d_input[2 * H + j] = d_n;
        d_recurrent[2 * H + j] = d_n * s(0);
        r.d_b_hh[j] += d_n * s(0);
        before[j] += dh[j] * s(1);
      } else {
        const double squashed = std::tanh(s(4));
        dc[j] += dh[j] * s(3) * (1 - squashed * squashed);
        d_input[j] = dc[j] * s(2) * slope(s(0));
        d_input[H + j] = dc[j] * (t > 0 ? saved.at(t - 1, 4, j) : 0) * slope(s(1));
        d_input[2 * H + j] = dc[j] * s(0) * (1 - s(2) * s(2));
        d_input[3 * H + j] = dh[j] * squashed * slope(s(3));
        for (std::size_t g = 0; g < 4; ++g) d_recurrent[g * H + j] = d_input[g * H + j];
        dc[j] *= s(1);
      }
    }
    for (std::size_t j = 0; j < GH; ++j) {
      r.dz[(t * n.B + b) * GH + j] = d_input[j];
      r.d_bias[j] += d_input[j];
      for (std::size_t i = 0; i < H; ++i) {
        r.d_w_hh[j * H + i] += d_recurrent[j] * r.h[n.h(t, b, i)];
        before[i] += p.w_hh[j * H + i] * d_recurrent[j];
      }
      for (std::size_t e = 0; e < n.E; ++e) {
        r.d_w_ih[j * n.E + e] += d_input[j] * p.embedding[id * n.E + e];
        r.d_embedding[id * n.E + e] += d_input[j] * p.w_ih[j * n.E + e];
      }
    }
    dh = before;
  }
}

}  // namespace

Results reference(const Problem& p, const std::vector<double>& argmax) {
  const Shape& s = p.shape;
  const Indexer n{static_cast<std::size_t>(s.vocabulary), static_cast<std::size_t>(s.embedding),
                  static_cast<std::size_t>(s.hidden), static_cast<std::size_t>(s.batch),
                  static_cast<std::size_t>(s.steps)};
  Results r;
  r.h.resize((n.T + 1) * n.B * n.H);
  const std::size_t GH = p.bias.size();
  r.dz.resize(n.T * n.B * GH);
  const auto P = static_cast<std::size_t>(p.pooled_width());
  for (auto* v : {&r.pooled, &r.d_state}) v->resize(n.B * P);
  r.logits.resize(n.B * p.fc_bias.size());
  r.d_fc_weight.resize(p.fc_weight.size());
  r.d_fc_bias.resize(p.fc_bias.size());
  r.d_w_hh.resize(GH * n.H);
  r.d_b_hh.resize(p.b_hh.size());
  r.d_embedding.resize(n.V * n.E);
  r.d_w_ih.resize(GH * n.E);
  r.d_bias.resize(GH);

  forward(p, n, r);
  if (has_maximum(p.pool)) {
    for (std::size_t i = 0; i < n.B * n.H; ++i) {
      const std::size_t b = i / n.H;
      r.argmax.push_back(p.lengths[b] > 0 ? static_cast<double>(largest_step(p, n, r, b, i % n.H)) - 1 : -1);
    }
  }
  const std::vector<double> largest = r.argmax;
  if (!argmax.empty()) r.argmax = argmax;
  head_backward(p, n, r);
  for (std::size_t b = 0; b < n.B; ++b) backward_row(p, n, b, r);
  r.argmax = largest;
  return r;
}

}  // namespace reel::test
