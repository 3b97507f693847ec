// One small training problem, and the names of all that a forward and a backward pass compute from it.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace reel::test {

struct Shape {
  std::int64_t vocabulary = 0;  // V
  std::int64_t embedding = 0;   // E
  std::int64_t hidden = 0;      // H
  std::int64_t batch = 0;       // B
  std::int64_t steps = 0;       // T

  BatchShape rows() const { return {batch, steps}; }
  SequenceShape sequences() const { return {batch, steps, hidden}; }
  std::int64_t distinct() const { return max_distinct(rows(), vocabulary); }  // at most
};

struct Problem {
  Shape shape;
  Pool pool = Pool::kLast;
  Cell cell = Cell::kTanh;
  float dropout = 0;
  std::vector<std::int32_t> ids, lengths, labels;                                 // [B, T], [B], [B]
  std::vector<double> embedding, w_ih, w_hh, bias, b_hh, fc_weight, fc_bias, h0;  // h0 [B, H]

  std::int64_t pooled_width() const { return pooled_parts(pool) * shape.hidden; }  // P
};

/// Everything the operations write, in double. d_embedding is dense, [V, E]; d_state is what HeadBackward writes; dz is
/// d_input [T, B, G*H], or empty where the device projects the input with the recurrence; argmax [B, H] where the pool
/// has a maximum.
struct Results {
  std::vector<double> h, pooled, logits;  // h [T+1, B, H], zero where it is not defined
  std::vector<double> argmax;
  double loss_sum = 0, correct = 0;
  std::vector<double> d_fc_weight, d_fc_bias, d_state, dz, d_w_hh, d_b_hh, d_embedding, d_w_ih, d_bias;
};

/// Values are multiples of 2^-12, exact in float, so that both precisions start from the same numbers. Row lengths are
/// ragged and some are 0.
inline Problem make_problem(const Shape& shape, Pool pool, Cell cell, float dropout = 0, unsigned seed = 1) {
  Problem p{.shape = shape, .pool = pool, .cell = cell, .dropout = dropout};
  std::mt19937 random(seed);
  const auto fill = [&](std::int64_t count, double range) {
    std::vector<double> values(static_cast<std::size_t>(count));
    const auto steps = static_cast<int>(range * 4096);
    for (double& v : values)
      v = static_cast<double>(static_cast<int>(random() % (2u * unsigned(steps) + 1)) - steps) / 4096;
    return values;
  };
  const auto [V, E, H, B, T] = shape;
  p.embedding = fill(V * E, 1.0);
  const std::int64_t GH = traits(cell).gates * H;
  p.w_ih = fill(GH * E, 0.4);
  p.w_hh = fill(GH * H, 1.5 / static_cast<double>(H) + 0.05);
  p.bias = fill(GH, 0.3);
  if (traits(cell).recurrent_bias) p.b_hh = fill(H, 0.3);
  p.fc_weight = fill(p.pooled_width(), 0.5);
  p.fc_bias = fill(1, 0.5);
  p.h0 = fill(B * H, 0.5);
  for (std::int64_t i = 0; i < B * T; ++i) {
    p.ids.push_back(static_cast<std::int32_t>(random() % 3 == 0 ? 2 % V : static_cast<std::int64_t>(random()) % V));
  }
  for (std::int64_t b = 0; b < B; ++b) {
    const auto length = b % 5 == 3 ? 0 : b % 3 == 0 ? T : static_cast<std::int64_t>(random()) % (T + 1);
    p.lengths.push_back(static_cast<std::int32_t>(length));
    p.labels.push_back(static_cast<std::int32_t>(random() % 2));
  }
  return p;
}

}  // namespace reel::test
