// The contract of everything that computes: shapes, types, masking, and what is deterministic are stated here, once.
// kernels/cpu/ and kernels/cuda/ implement it, one file an operation.
//
// Dimensions: V vocabulary, E embedding, H hidden, B batch rows, T steps, N reviews, U distinct tokens of a batch.
// Every tensor is dense and row-major; its shape stands beside it. Row b takes part in the steps t < lengths[b]; after
// those its state is carried over, which is what masking means. A row of length 0 keeps the state it was given.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/philox.h"

namespace reel {

/// kMixed: a tanh recurrence multiplies 16-bit states, weights and gradients and sums in float32: fp16 on a CUDA device
/// (bfloat16 gradients), bfloat16 on a CPU. Everything else, what is kept included, stays float32.
enum class Precision { kFloat32, kMixed };
enum class Nonlinearity { kTanh, kRelu };
enum class Pool { kLast, kMean };
enum class Padding { kNone, kPre, kPost };  // kNone: rows keep their own length, that is, padding is masked
enum class OptimizerKind { kAdam, kAdamW, kSgd, kRmsprop, kAdagrad };
enum class Convention { kKeras, kTorch };

struct Shape {
  std::int64_t vocabulary = 0;  // V
  std::int64_t embedding = 0;   // E
  std::int64_t hidden = 0;      // H
  std::int64_t batch = 0;       // B
  std::int64_t steps = 0;       // T
};

/// The most distinct tokens that a batch can hold.
constexpr std::int64_t max_distinct(const Shape& shape) {
  const std::int64_t cells = shape.batch * shape.steps;
  return cells < shape.vocabulary ? cells : shape.vocabulary;
}

/// Copies rows of the data set into a batch. Word dropout turns each of a review's tokens into `unknown_id` where
/// random_uniform(word_dropout_key, b * T + i) < word_dropout, i counting the review's own tokens. With padding, id 0
/// fills the row up to T steps and every length is T.
struct SelectRows {
  Shape shape;
  std::span<const std::int32_t> data_ids;      // [N, T] the reviews' tokens, left-aligned
  std::span<const std::int32_t> data_lengths;  // [N]
  std::span<const std::int32_t> data_labels;   // [N] 0 or 1
  std::span<const std::int32_t> rows;          // [B] which reviews
  Padding padding = Padding::kNone;
  float word_dropout = 0;
  std::int32_t unknown_id = 2;
  RandomKey word_dropout_key{.stream = RandomStream::kWordDropout};
  std::span<std::int32_t> ids;      // out [B, T]; undefined from lengths[b] on
  std::span<std::int32_t> lengths;  // out [B]
  std::span<std::int32_t> labels;   // out [B]
};

/// The distinct tokens of a batch, and where each occurs; ids that do not occur may be listed too, with an empty
/// segment. `slot` is kept between calls: it starts as -1 everywhere (see clear_index) and an operation that fills the
/// index first takes back what the last one wrote.
struct TokenIndex {
  std::span<std::int32_t> count;     // [1] U
  std::span<std::int32_t> tokens;    // [min(V, B*T)] the distinct ids, U used
  std::span<std::int32_t> slot;      // [V] position of an id in `tokens`, -1 where the batch lacks it
  std::span<std::int32_t> row;       // [B, T] slot of ids[b, t]; defined for t < lengths[b]
  std::span<std::int32_t> segment;   // [min(V, B*T) + 1] positions of token u: position[segment[u] .. segment[u+1])
  std::span<std::int32_t> position;  // [B*T] t * B + b of each occurrence, ascending within a segment
};

struct IndexTokens {
  Shape shape;
  std::span<const std::int32_t> ids;      // [B, T]
  std::span<const std::int32_t> lengths;  // [B]
  TokenIndex index;                       // out
};

/// projected[u] = W_ih . embedding[tokens[u]] + bias: the input of the recurrence, once for each distinct token.
template <class Real>
struct ProjectTokens {
  Shape shape;
  TokenIndex index;
  std::span<const Real> embedding;  // [V, E]
  std::span<const Real> w_ih;       // [H, E]
  std::span<const Real> bias;       // [H]
  std::span<Real> projected;        // out [U, H]
};

/// h[t+1, b] = act(projected[row[b, t]] + W_hh . h[t, b]) for t < lengths[b]; other h are undefined. With last_only
/// those between h[0, b] and h[lengths[b], b] are undefined too.
template <class Real>
struct RnnForward {
  Shape shape;
  std::span<const std::int32_t> row;      // [B, T]
  std::span<const std::int32_t> lengths;  // [B]
  std::span<const Real> projected;        // [U, H]
  std::span<const Real> w_hh;             // [H, H]
  Nonlinearity nonlinearity = Nonlinearity::kTanh;
  std::span<Real> h;  // in/out [T+1, B, H]; h[0] is given
  bool last_only = false;
};

/// pooled[b] = h[lengths[b], b] (last) or the mean of h[1..lengths[b], b] (0 for an empty row), after dropout: an
/// element is kept and divided by 1 - dropout where random_uniform(dropout_key, b * H + j) >= dropout.
/// logits[b] = pooled[b] . fc_weight + fc_bias.
template <class Real>
struct HeadForward {
  Shape shape;
  std::span<const std::int32_t> lengths;  // [B]
  std::span<const Real> h;                // [T+1, B, H]
  Pool pool = Pool::kLast;
  float dropout = 0;
  RandomKey dropout_key{.stream = RandomStream::kDropout};
  std::span<const Real> fc_weight;  // [H]
  std::span<const Real> fc_bias;    // [1]
  std::span<Real> pooled;           // out [B, H]
  std::span<Real> logits;           // out [B]
};

/// What one batch measured, in backend memory.
struct BatchStats {
  double loss_sum = 0;   // sum of the rows' binary cross-entropies
  double correct = 0;    // rows whose (logit > 0) equals the label
  double grad_norm = 0;  // global norm before clipping by norm; written by ClipGradient
};

/// Binary cross-entropy on logits, max(x, 0) - x y + log(1 + exp(-|x|)), and the gradient of its mean over the batch
/// with respect to the output layer and the pooled state. Dropout must be that of HeadForward.
template <class Real>
struct HeadBackward {
  Shape shape;
  std::span<const std::int32_t> labels;  // [B]
  std::span<const Real> logits;          // [B]
  std::span<const Real> pooled{};        // [B, H]
  std::span<const Real> fc_weight{};     // [H]
  float dropout = 0;
  RandomKey dropout_key{.stream = RandomStream::kDropout};
  std::span<BatchStats> stats;    // out [1]
  std::span<Real> d_fc_weight{};  // out [H]; the three gradients may be empty: then only stats are computed
  std::span<Real> d_fc_bias{};    // out [1]
  std::span<Real> d_pooled{};     // out [B, H]
};

/// Back-propagation through time. With z the argument of the nonlinearity, dz[t, b] for t < lengths[b] (others are
/// undefined), d_w_hh = sum over t, b of dz[t, b] h[t, b]^T, and d_h0[b] = W_hh^T dz[0, b] (d_pooled[b] for an empty
/// row under Pool::kLast, 0 under Pool::kMean).
template <class Real>
struct RnnBackward {
  Shape shape;
  std::span<const std::int32_t> lengths;  // [B]
  std::span<const Real> h;                // [T+1, B, H]
  std::span<const Real> w_hh;             // [H, H]
  std::span<const Real> d_pooled;         // [B, H]
  Pool pool = Pool::kLast;
  Nonlinearity nonlinearity = Nonlinearity::kTanh;
  std::span<Real> dz;      // out [T, B, H]
  std::span<Real> d_w_hh;  // out [H, H]
  std::span<Real> d_h0{};  // out [B, H], or empty
};

/// The gradient of ProjectTokens: dz is summed by token in the order of the index into d_projected, then
/// d_embedding = d_projected . W_ih, d_w_ih = d_projected^T . embedding[tokens], d_bias = column sums of d_projected.
template <class Real>
struct EmbeddingGradient {
  Shape shape;
  TokenIndex index;
  std::span<const Real> dz;         // [T, B, H]
  std::span<const Real> embedding;  // [V, E]
  std::span<const Real> w_ih;       // [H, E]
  std::span<Real> d_projected;      // scratch [U, H]
  std::span<Real> d_embedding;      // out [U, E], rows in the order of index.tokens
  std::span<Real> d_w_ih;           // out [H, E]
  std::span<Real> d_bias;           // out [H]
};

/// Gradients of a whole model: rows of the embedding table that the batch touched, and everything else.
template <class Real>
struct ModelGradient {
  Shape shape;
  TokenIndex index;
  std::span<Real> embedding;  // [U, E]; rows that are not in the index have gradient 0
  std::span<Real> dense;      // [D] every other parameter
};

/// Clips each element to [-clip_value, clip_value] in place, then writes the global norm to stats.grad_norm and
/// min(1, clip_norm / (norm + 1e-6)) to `scale`, by which the optimizer multiplies. A limit of 0 means no limit.
template <class Real>
struct ClipGradient {
  ModelGradient<Real> gradient;
  double clip_value = 0;
  double clip_norm = 0;
  std::span<Real> scale;        // out [1]
  std::span<BatchStats> stats;  // in/out [1]
};

/// The meaning of each number in each convention is the table in host/model/optimizer.h.
struct OptimizerSettings {
  OptimizerKind kind = OptimizerKind::kAdam;
  Convention convention = Convention::kKeras;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-7;
  double rho = 0.9;  // RMSprop's decay
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
};

/// One optimizer step over all parameters: [V*E] of the embedding table, then [D] dense ones. A table row without a
/// gradient takes part with gradient 0, as in Keras and PyTorch with dense gradients.
template <class Real>
struct OptimizerStep {
  OptimizerSettings settings;
  std::int64_t step = 1;  // counts from 1
  double learning_rate = 0;
  ModelGradient<Real> gradient;
  std::span<const Real> scale;  // [1] from ClipGradient
  std::span<Real> parameters;   // in/out [V*E + D]
  std::span<Real> state1;       // in/out [V*E + D]: first moment, momentum or accumulator
  std::span<Real> state2;       // in/out [V*E + D]: Adam's second moment, RMSprop's momentum; else empty
};

}  // namespace reel
