// The embedding and the input product of the first layer, fused: computed once for each distinct token.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/batch.h"
#include "kernels/contract/checks.h"
#include "kernels/contract/packed.h"
#include "kernels/philox.h"

namespace reel {

/// Words that are left out of a step, everywhere: the embedding of token w is divided by 1 - rate where
/// random_uniform(key, w) >= rate, else 0 (Merity, Keskar and Socher, ICLR 2018).
struct EmbeddingDropout {
  float rate = 0;
  RandomKey key{.stream = RandomStream::kEmbeddingDropout};
  const StepClock* clock = nullptr;  // in backend memory, or null
};

/// projected[u] = W_ih . embedding[tokens[u]] + bias, or, where `tokens` is empty, of every word: embedding[u].
/// `tokens` are those that this device's IndexTokens listed, which may be every word in order where there is room for
/// all.
template <class Real>
struct ProjectTokens {
  static constexpr const char* kName = "project";
  std::span<const std::int32_t> count;   // [1] U; empty with `tokens`
  std::span<const std::int32_t> tokens;  // [room for U] as IndexTokens lists them; empty: the whole vocabulary
  std::span<const Real> embedding;       // [V, E]
  std::span<const Real> w_ih;            // [W, E]
  std::span<const Real> bias;            // [W]
  EmbeddingDropout dropout{};            // of none where `tokens` is empty
  std::span<Real> projected;             // out [room for U, W], or [V, W]; undefined from U on

  std::int64_t width() const { return static_cast<std::int64_t>(bias.size()); }                                // W
  std::int64_t embedding_width() const { return static_cast<std::int64_t>(w_ih.size()) / width(); }            // E
  std::int64_t vocabulary() const { return static_cast<std::int64_t>(embedding.size()) / embedding_width(); }  // V
  std::int64_t rows() const { return tokens.empty() ? vocabulary() : static_cast<std::int64_t>(tokens.size()); }
};

/// The gradient of ProjectTokens: d_input is summed by token in the order of the index into d_projected, then
/// d_embedding = d_projected . W_ih, d_w_ih = d_projected^T . embedding[tokens], d_bias = column sums of d_projected.
template <class Real>
struct ProjectionGradient {
  static constexpr const char* kName = "embedding_gradient";
  BatchShape shape;
  TokenIndex index;
  std::span<const Real> d_input;    // [T, B, W]
  std::span<const Real> embedding;  // [V, E]
  std::span<const Real> w_ih;       // [W, E]
  EmbeddingDropout dropout{};       // that of ProjectTokens
  std::span<Real> d_projected;      // scratch [room for U, W]
  std::span<Real> d_embedding;      // out [room for U, E], rows in the order of index.tokens
  bool accumulate = false;          // d_embedding is added to what stands there
  std::span<Real> d_w_ih;           // out [W, E]
  std::span<Real> d_bias;           // out [W]
  bool packed = false;              // d_input: two bfloat16 numbers an element

  std::int64_t width() const { return static_cast<std::int64_t>(d_bias.size()); }                    // W
  std::int64_t embedding_width() const { return static_cast<std::int64_t>(w_ih.size()) / width(); }  // E
};

template <class Real>
void check_arguments(const ProjectTokens<Real>& op) {
  check_positive(op.width(), "bias");
  check_positive(op.embedding_width(), "a row of w_ih");
  check_positive(op.vocabulary(), "embedding");
  check_size(op.w_ih, op.width() * op.embedding_width(), "w_ih");
  check_size(op.embedding, op.vocabulary() * op.embedding_width(), "embedding");
  check_size(op.count, op.tokens.empty() ? 0 : 1, "count");
  check_share(op.dropout.rate, "dropout.rate");
  if (op.tokens.empty()) check_not_negative(-op.dropout.rate, "dropout of the whole vocabulary");
  check_not_negative(static_cast<double>(op.vocabulary() - op.rows()), "words beyond the tokens");
  check_size(op.projected, op.rows() * op.width(), "projected");
}

template <class Real>
void check_arguments(const ProjectionGradient<Real>& op) {
  check_index(op.index, op.shape);
  check_positive(op.width(), "d_bias");
  const std::int64_t W = op.width(), E = op.embedding_width(), U = op.index.capacity();
  check_positive(E, "a row of w_ih");
  check_share(op.dropout.rate, "dropout.rate");
  check_size(op.d_input, packed_size(op.shape.steps * op.shape.batch * W, op.packed), "d_input");
  check_size(op.w_ih, W * E, "w_ih");
  check_size(op.embedding, op.index.vocabulary() * E, "embedding");
  check_size(op.d_projected, U * W, "d_projected");
  check_size(op.d_embedding, U * E, "d_embedding");
  check_size(op.d_w_ih, W * E, "d_w_ih");
}

}  // namespace reel
