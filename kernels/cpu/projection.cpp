// Embedding and input projection, fused: only the distinct tokens of a batch are projected, and their gradients are
// summed by token before the products. At the tutorial's sizes a batch of 64 reviews holds about 10,000 tokens but
// fewer than 3,000 distinct ones.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/projection.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "hwy/highway.h"
#include "kernels/cpu/dropout.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/outer-inl.h"
#include "kernels/cpu/products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

constexpr std::size_t kTokenBlock = 48;  // distinct tokens a task handles together

/// By what dropout multiplies the embedding of a token.
template <class Real>
Real token_factor(const EmbeddingDropout& dropout, std::int32_t token) {
  if (dropout.rate <= 0) return 1;
  return cpu::dropout_factor<Real>(
      dropout.rate, random_uniform(key_at(dropout.clock, dropout.key), static_cast<std::uint64_t>(token)));
}

template <class Real>
void run_project(CpuContext& context, const ProjectTokens<Real>& op) {
  const auto E = static_cast<std::size_t>(op.embedding_width());
  const auto W = static_cast<std::size_t>(op.width());
  const auto U = static_cast<std::size_t>(op.tokens.empty() ? op.vocabulary() : op.count[0]);
  const PackedMatrix<Exact<Real>> w = pack<Exact<Real>>(context, op.w_ih.data(), 1, E, E, W);
  context.pool.run((U + kTokenBlock - 1) / kTokenBlock, [&](std::size_t task) HWY_ATTR {
    context.check_interrupted();
    const std::size_t first = task * kTokenBlock;
    const std::size_t count = std::min(kTokenBlock, U - first);
    const Real* rows[kTokenBlock];
    Real factors[kTokenBlock];
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t u = first + i;
      rows[i] = op.embedding.data() + (op.tokens.empty() ? u : static_cast<std::size_t>(op.tokens[u])) * E;
      factors[i] = op.tokens.empty() ? Real{1} : token_factor<Real>(op.dropout, op.tokens[u]);
    }
    multiply_rows<Exact<Real>>(std::span(rows).first(count), w,
                               [=, factors = &factors[0], bias = op.bias.data(), to = op.projected.data() + first * W](
                                   std::size_t i, std::size_t column, auto part, Vector<Real> sum) HWY_ATTR {
                                 const Vector<Real> factor = hn::Set(Tag<Real>(), factors[i]);
                                 store_part(hn::MulAdd(sum, factor, load_part(bias + column, part)),
                                            to + i * W + column, part);
                               });
  });
}

/// to[0 .. W) = the sum of the rows d_input[position], in the order of `positions`.
template <class Real>
void sum_segment(std::span<const std::int32_t> positions, const Real* d_input, std::size_t W, Real* to) {
  constexpr std::size_t kVectors = 8;
  const Tag<Real> d;
  std::size_t column = 0;
  for (; column + kVectors * kLanes<Real> <= W; column += kVectors * kLanes<Real>) {
    Vector<Real> sum[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) sum[v] = hn::Zero(d);
    for (const std::int32_t position : positions) {
      const Real* const row = d_input + static_cast<std::size_t>(position) * W + column;
      for (std::size_t v = 0; v < kVectors; ++v) sum[v] = hn::Add(sum[v], hn::LoadU(d, row + v * kLanes<Real>));
    }
    for (std::size_t v = 0; v < kVectors; ++v) hn::StoreU(sum[v], d, to + column + v * kLanes<Real>);
  }
  for (; column < W; column += kLanes<Real>) {
    Vector<Real> sum = hn::Zero(d);
    for (const std::int32_t position : positions) {
      sum = hn::Add(sum, load_part(d_input + static_cast<std::size_t>(position) * W + column, W - column));
    }
    store_part(sum, to + column, W - column);
  }
}

/// What flows into distinct token u's row of the projection: d_input itself where it occurs once and is not to be
/// multiplied by its dropout, else the sum.
template <class Real>
const Real* token_gradient(const ProjectionGradient<Real>& op, std::size_t u) {
  const std::int32_t begin = op.index.segment[u];
  const auto W = static_cast<std::size_t>(op.width());
  if (op.dropout.rate > 0 || op.index.segment[u + 1] != begin + 1) return op.d_projected.data() + u * W;
  return op.d_input.data() + static_cast<std::size_t>(op.index.position[static_cast<std::size_t>(begin)]) * W;
}

/// d_projected and d_embedding, a block of tokens at a time: what one product reads the sum has just left in the cache.
template <class Real>
void run_token_gradients(CpuContext& context, const ProjectionGradient<Real>& op) {
  const auto E = static_cast<std::size_t>(op.embedding_width());
  const auto W = static_cast<std::size_t>(op.width());
  const auto U = static_cast<std::size_t>(op.index.count[0]);
  const PackedMatrix<Exact<Real>> w = pack<Exact<Real>>(context, op.w_ih.data(), E, 1, W, E);
  context.pool.run((U + kTokenBlock - 1) / kTokenBlock, [&](std::size_t task) HWY_ATTR {
    context.check_interrupted();
    const std::size_t first = task * kTokenBlock;
    const std::size_t count = std::min(kTokenBlock, U - first);
    const Real* rows[kTokenBlock];
    Real factors[kTokenBlock];
    for (std::size_t i = 0; i < count; ++i) {
      factors[i] = token_factor<Real>(op.dropout, op.index.tokens[first + i]);
      const auto begin = static_cast<std::size_t>(op.index.segment[first + i]);
      const auto end = static_cast<std::size_t>(op.index.segment[first + i + 1]);
      rows[i] = token_gradient(op, first + i);
      Real* const row = op.d_projected.data() + (first + i) * W;
      if (rows[i] == row) sum_segment<Real>(op.index.position.subspan(begin, end - begin), op.d_input.data(), W, row);
    }
    multiply_rows<Exact<Real>>(std::span(rows).first(count), w,
                               [=, factors = &factors[0], to = op.d_embedding.data() + first * E, add = op.accumulate](
                                   std::size_t i, std::size_t column, auto part, Vector<Real> sum) HWY_ATTR {
                                 Real* const element = to + i * E + column;
                                 sum = hn::Mul(sum, hn::Set(Tag<Real>(), factors[i]));
                                 store_part(add ? hn::Add(load_part(element, part), sum) : sum, element, part);
                               });
  });
}

/// d_bias and d_w_ih: every element is summed over the tokens in ascending order.
template <class Real>
void run_weight_gradients(CpuContext& context, const ProjectionGradient<Real>& op) {
  const auto E = static_cast<std::size_t>(op.embedding_width());
  const auto W = static_cast<std::size_t>(op.width());
  const auto U = static_cast<std::size_t>(op.index.count[0]);
  const auto gradient = context.arena.take<const Real*>(U);
  const auto embedded = context.arena.take<const Real*>(U);
  for (std::size_t u = 0; u < U; ++u) {
    gradient[u] = token_gradient(op, u);
    embedded[u] = op.embedding.data() + static_cast<std::size_t>(op.index.tokens[u]) * E;
  }
  constexpr std::size_t kVectors = 4, kColumns = kVectors * kLanes<Real>;
  context.pool.run((W + kColumns - 1) / kColumns, [&](std::size_t task) HWY_ATTR {
    const std::size_t first = task * kColumns;
    Vector<Real> sum[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) sum[v] = hn::Zero(Tag<Real>());
    const std::size_t vectors = std::min(kVectors, (W - first + kLanes<Real> - 1) / kLanes<Real>);
    for (const Real* const row : gradient) {
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t column = first + v * kLanes<Real>;
        sum[v] = hn::Add(sum[v], load_part(row + column, W - column));
      }
    }
    for (std::size_t v = 0; v < vectors; ++v) {
      const std::size_t column = first + v * kLanes<Real>;
      store_part(sum[v], op.d_bias.data() + column, W - column);
    }
  });
  if (op.dropout.rate > 0) {
    cpu::for_each_row(context, U, [&](std::size_t u) {
      const Real factor = token_factor<Real>(op.dropout, op.index.tokens[u]);
      for (Real& element : op.d_projected.subspan(u * W, W)) element *= factor;
    });
  }
  sum_outer<Exact<Real>>(context, gradient, embedded, W, E, op.d_w_ih.data());
}

template <class Real>
void run_gradient(CpuContext& context, const ProjectionGradient<Real>& op) {
  run_token_gradients(context, op);
  run_weight_gradients(context, op);
}

void project_f32(CpuContext& context, const ProjectTokens<float>& op) { run_project(context, op); }
void project_f64(CpuContext& context, const ProjectTokens<double>& op) { run_project(context, op); }
void gradient_f32(CpuContext& context, const ProjectionGradient<float>& op) { run_gradient(context, op); }
void gradient_f64(CpuContext& context, const ProjectionGradient<double>& op) { run_gradient(context, op); }

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel {

HWY_EXPORT(project_f32);
HWY_EXPORT(project_f64);
HWY_EXPORT(gradient_f32);
HWY_EXPORT(gradient_f64);

namespace cpu {
void execute(CpuContext& context, const ProjectTokens<float>& op) { HWY_DYNAMIC_DISPATCH(project_f32)(context, op); }
void execute(CpuContext& context, const ProjectTokens<double>& op) { HWY_DYNAMIC_DISPATCH(project_f64)(context, op); }
void execute(CpuContext& context, const ProjectionGradient<float>& op) {
  HWY_DYNAMIC_DISPATCH(gradient_f32)(context, op);
}
void execute(CpuContext& context, const ProjectionGradient<double>& op) {
  HWY_DYNAMIC_DISPATCH(gradient_f64)(context, op);
}

}  // namespace cpu
}  // namespace reel
#endif  // HWY_ONCE
