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

/// What the head is to learn.
struct Outputs {
  std::int64_t count = 1;  // C
  Loss loss = Loss::kSigmoid;
  bool targets = false;  // instead of labels
  bool weights = false;
  bool positive_weights = false;
  double margin = 0;  // by so much the first logit lies above 0, and the others below
};

struct Problem {
  Shape shape;
  Pool pool = Pool::kLast;
  Cell cell = Cell::kTanh;
  float dropout = 0;
  Outputs outputs{};
  std::vector<std::int32_t> ids, lengths, labels;                                 // [B, T], [B], [B] or empty
  std::vector<double> targets, weights, positive_weights;                         // [B, C], [B], [C], each or empty
  std::vector<double> embedding, w_ih, w_hh, bias, b_hh, fc_weight, fc_bias, h0;  // h0 [B, H]

  std::int64_t pooled_width() const { return pooled_parts(pool) * shape.hidden; }  // P
};

/// Everything the operations write, in double. d_embedding is dense, [V, E]; d_state is what HeadBackward writes; dz is
/// d_input [T, B, G*H], or empty where the device projects the input with the recurrence; argmax [B, H] where the pool
/// has a maximum; by_length [B] or empty.
struct Results {
  std::vector<double> h, pooled, logits;  // h [T+1, B, H], zero where it is not defined
  std::vector<double> argmax, by_length;
  double loss_sum = 0, correct = 0;
  std::vector<double> d_fc_weight, d_fc_bias, d_state, dz, d_w_hh, d_b_hh, d_embedding, d_w_ih, d_bias;
};

/// Targets, among which are many zeros, and weights, some of which are 0.
inline void add_targets(Problem& p, std::mt19937& random) {
  const std::int64_t B = p.shape.batch, C = p.outputs.count;
  if (p.outputs.targets) p.labels.clear();
  for (std::int64_t i = 0; p.outputs.targets && i < B * C; ++i) {
    const auto value =
        static_cast<double>(random() % 9) - 4;  // of kSigmoid and kSoftmax a share, of kSquared any number
    p.targets.push_back(p.outputs.loss == Loss::kSquared ? value / 2 : value > 0 ? value / 4 : 0);
  }
  for (std::int64_t b = 0; p.outputs.weights && b < B; ++b) {
    p.weights.push_back(b % 4 == 1 ? 0 : static_cast<double>(1 + random() % 12) / 4);
  }
  for (std::int64_t c = 0; p.outputs.positive_weights && c < C; ++c) {
    p.positive_weights.push_back(static_cast<double>(random() % 17) / 4);
  }
}

/// Values are multiples of 2^-12, exact in float, so that both precisions start from the same numbers. Row lengths are
/// ragged and some are 0.
inline Problem make_problem(const Shape& shape, Pool pool, Cell cell, float dropout = 0, unsigned seed = 1,
                            const Outputs& outputs = {}) {
  Problem p{.shape = shape, .pool = pool, .cell = cell, .dropout = dropout, .outputs = outputs};
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
  p.fc_weight = fill(outputs.count * p.pooled_width(), 0.5);
  p.fc_bias = fill(outputs.count, 0.5);
  for (double& bias : p.fc_bias) bias += &bias == p.fc_bias.data() ? outputs.margin : -outputs.margin;
  p.h0 = fill(B * H, 0.5);
  for (std::int64_t i = 0; i < B * T; ++i) {
    p.ids.push_back(static_cast<std::int32_t>(random() % 3 == 0 ? 2 % V : static_cast<std::int64_t>(random()) % V));
  }
  for (std::int64_t b = 0; b < B; ++b) {
    const auto length = b % 5 == 3 ? 0 : b % 3 == 0 ? T : static_cast<std::int64_t>(random()) % (T + 1);
    p.lengths.push_back(static_cast<std::int32_t>(length));
    p.labels.push_back(
        static_cast<std::int32_t>(random() % (outputs.loss == Loss::kSoftmax ? unsigned(outputs.count) : 2)));
  }
  add_targets(p, random);
  return p;
}

}  // namespace reel::test
