// Embedding and input projection, fused: only the distinct tokens of a batch are projected, and their gradients are
// summed by token before the products. At the tutorial's sizes a batch of 64 reviews holds about 10,000 tokens but
// fewer than 3,000 distinct ones.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/embedding.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "hwy/highway.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/outer-inl.h"
#include "kernels/cpu/products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

constexpr std::size_t kTokenBlock = 48;  // distinct tokens a task handles together

template <class Real>
void run_project(CpuContext& context, const ProjectTokens<Real>& args) {
  const auto E = static_cast<std::size_t>(args.shape.embedding);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  const auto U = static_cast<std::size_t>(args.index.count[0]);
  const PackedMatrix<Exact<Real>> w =
      pack<Exact<Real>>(args.w_ih.data(), 1, E, E, H, context.arena.take<Real>(packed_size<Exact<Real>>(E, H)));
  context.pool.run((U + kTokenBlock - 1) / kTokenBlock, [&](std::size_t task) HWY_ATTR {
    context.check_interrupted();
    const std::size_t first = task * kTokenBlock;
    const std::size_t count = std::min(kTokenBlock, U - first);
    const Real* rows[kTokenBlock];
    for (std::size_t i = 0; i < count; ++i) {
      rows[i] = args.embedding.data() + static_cast<std::size_t>(args.index.tokens[first + i]) * E;
    }
    multiply_rows<Exact<Real>>(std::span(rows).first(count), w,
                               [=, bias = args.bias.data(), to = args.projected.data() + first * H](
                                   std::size_t i, std::size_t column, auto part, Vector<Real> sum) HWY_ATTR {
                                 store_part(hn::Add(sum, load_part(bias + column, part)), to + i * H + column, part);
                               });
  });
}

/// to[0 .. H) = the sum of the rows dz[position], in the order of `positions`.
template <class Real>
void sum_segment(std::span<const std::int32_t> positions, const Real* dz, std::size_t H, Real* to) {
  constexpr std::size_t kVectors = 8;
  const Tag<Real> d;
  std::size_t column = 0;
  for (; column + kVectors * kLanes<Real> <= H; column += kVectors * kLanes<Real>) {
    Vector<Real> sum[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) sum[v] = hn::Zero(d);
    for (const std::int32_t position : positions) {
      const Real* const row = dz + static_cast<std::size_t>(position) * H + column;
      for (std::size_t v = 0; v < kVectors; ++v) sum[v] = hn::Add(sum[v], hn::LoadU(d, row + v * kLanes<Real>));
    }
    for (std::size_t v = 0; v < kVectors; ++v) hn::StoreU(sum[v], d, to + column + v * kLanes<Real>);
  }
  for (; column < H; column += kLanes<Real>) {
    Vector<Real> sum = hn::Zero(d);
    for (const std::int32_t position : positions) {
      sum = hn::Add(sum, load_part(dz + static_cast<std::size_t>(position) * H + column, H - column));
    }
    store_part(sum, to + column, H - column);
  }
}

/// d_projected and d_embedding, a block of tokens at a time: what one product reads the sum has just left in the cache.
template <class Real>
void run_token_gradients(CpuContext& context, const EmbeddingGradient<Real>& args) {
  const auto E = static_cast<std::size_t>(args.shape.embedding);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  const auto U = static_cast<std::size_t>(args.index.count[0]);
  const PackedMatrix<Exact<Real>> w =
      pack<Exact<Real>>(args.w_ih.data(), E, 1, H, E, context.arena.take<Real>(packed_size<Exact<Real>>(H, E)));
  context.pool.run((U + kTokenBlock - 1) / kTokenBlock, [&](std::size_t task) HWY_ATTR {
    context.check_interrupted();
    const std::size_t first = task * kTokenBlock;
    const std::size_t count = std::min(kTokenBlock, U - first);
    const Real* rows[kTokenBlock];
    for (std::size_t i = 0; i < count; ++i) {
      const auto begin = static_cast<std::size_t>(args.index.segment[first + i]);
      const auto end = static_cast<std::size_t>(args.index.segment[first + i + 1]);
      Real* const row = args.d_projected.data() + (first + i) * H;
      sum_segment<Real>(args.index.position.subspan(begin, end - begin), args.dz.data(), H, row);
      rows[i] = row;
    }
    multiply_rows<Exact<Real>>(
        std::span(rows).first(count), w,
        [=, to = args.d_embedding.data() + first * E](std::size_t i, std::size_t column, auto part, Vector<Real> sum)
            HWY_ATTR { store_part(sum, to + i * E + column, part); });
  });
}

/// d_w_ih and d_bias: every element is summed over the tokens in ascending order.
template <class Real>
void run_weight_gradients(CpuContext& context, const EmbeddingGradient<Real>& args) {
  const auto E = static_cast<std::size_t>(args.shape.embedding);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  const auto U = static_cast<std::size_t>(args.index.count[0]);
  const auto gradient = context.arena.take<const Real*>(U);
  const auto embedded = context.arena.take<const Real*>(U);
  for (std::size_t u = 0; u < U; ++u) {
    gradient[u] = args.d_projected.data() + u * H;
    embedded[u] = args.embedding.data() + static_cast<std::size_t>(args.index.tokens[u]) * E;
  }
  sum_outer<Exact<Real>>(context, gradient, embedded, H, E, args.d_w_ih.data());
  constexpr std::size_t kVectors = 4, kColumns = kVectors * kLanes<Real>;
  context.pool.run((H + kColumns - 1) / kColumns, [&](std::size_t task) HWY_ATTR {
    const std::size_t first = task * kColumns;
    Vector<Real> sum[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) sum[v] = hn::Zero(Tag<Real>());
    const std::size_t vectors = std::min(kVectors, (H - first + kLanes<Real> - 1) / kLanes<Real>);
    for (const Real* const row : gradient) {
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t column = first + v * kLanes<Real>;
        sum[v] = hn::Add(sum[v], load_part(row + column, H - column));
      }
    }
    for (std::size_t v = 0; v < vectors; ++v) {
      const std::size_t column = first + v * kLanes<Real>;
      store_part(sum[v], args.d_bias.data() + column, H - column);
    }
  });
}

template <class Real>
void run_embedding_gradient(CpuContext& context, const EmbeddingGradient<Real>& args) {
  run_token_gradients(context, args);
  run_weight_gradients(context, args);
}

void project_f32(CpuContext& context, const ProjectTokens<float>& args) { run_project(context, args); }
void project_f64(CpuContext& context, const ProjectTokens<double>& args) { run_project(context, args); }
void gradient_f32(CpuContext& context, const EmbeddingGradient<float>& args) { run_embedding_gradient(context, args); }
void gradient_f64(CpuContext& context, const EmbeddingGradient<double>& args) { run_embedding_gradient(context, args); }

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
void project_tokens(CpuContext& context, const ProjectTokens<float>& args) {
  context.arena.reset();
  HWY_DYNAMIC_DISPATCH(project_f32)(context, args);
}

void project_tokens(CpuContext& context, const ProjectTokens<double>& args) {
  context.arena.reset();
  HWY_DYNAMIC_DISPATCH(project_f64)(context, args);
}

void embedding_gradient(CpuContext& context, const EmbeddingGradient<float>& args) {
  context.arena.reset();
  HWY_DYNAMIC_DISPATCH(gradient_f32)(context, args);
}

void embedding_gradient(CpuContext& context, const EmbeddingGradient<double>& args) {
  context.arena.reset();
  HWY_DYNAMIC_DISPATCH(gradient_f64)(context, args);
}

}  // namespace cpu
}  // namespace reel
#endif  // HWY_ONCE
