// The products of an output layer of C outputs. B and P are small, C may be 10,000: the weights are read as they lie, a
// block of outputs a task, and only what is small is packed or transposed.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/output_layer.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "hwy/highway.h"
#include "kernels/cpu/outer-inl.h"
#include "kernels/cpu/output_layer.h"
#include "kernels/cpu/products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

constexpr std::size_t kOutputBlock = 48;  // outputs a task handles together
template <class Real>
constexpr std::size_t kBatchBlock = 2 * kPanelColumns<Exact<Real>>;  // and batch rows

/// logits^T = fc_weight . pooled^T, a block of it at a time, which is transposed while it is in the L1 cache.
template <class Real>
void run_logits(CpuContext& context, const HeadForward<Real>& op) {
  constexpr std::size_t kRows = kBatchBlock<Real>;
  const auto B = static_cast<std::size_t>(op.shape.batch), C = static_cast<std::size_t>(op.outputs());
  const auto P = static_cast<std::size_t>(op.pooled_width());
  const PackedMatrix<Exact<Real>> pooled = pack<Exact<Real>>(context, op.pooled.data(), 1, P, P, B);
  const std::size_t row_blocks = (B + kRows - 1) / kRows;
  context.pool.run((C + kOutputBlock - 1) / kOutputBlock * row_blocks, [&](std::size_t task) HWY_ATTR {
    context.check_interrupted();
    const std::size_t c = task / row_blocks * kOutputBlock, outputs = std::min(kOutputBlock, C - c);
    const std::size_t b = task % row_blocks * kRows, rows = std::min(kRows, B - b);
    const Real* weights[kOutputBlock];
    for (std::size_t i = 0; i < outputs; ++i) weights[i] = op.fc_weight.data() + (c + i) * P;
    alignas(64) Real block[kOutputBlock * kRows];  // with room for whole vectors
    multiply_rows<Exact<Real>>(std::span(weights).first(outputs),
                               PackedMatrix<Exact<Real>>{pooled.data + pooled.words * b, pooled.words, rows},
                               [to = &block[0]](std::size_t i, std::size_t column, auto, Vector<Real> sum)
                                   HWY_ATTR { hn::Store(sum, Tag<Real>(), to + i * kBatchBlock<Real> + column); });
    for (std::size_t r = 0; r < rows; ++r) {
      Real* const to = op.logits.data() + (b + r) * C + c;
      for (std::size_t i = 0; i < outputs; ++i) to[i] = block[i * kRows + r] + op.fc_bias[c + i];
    }
  });
}

/// to [C, B] = from [B, C], a few cache lines of each row at a time.
template <class Real>
void transpose(CpuContext& context, std::span<const Real> from, std::size_t B, std::size_t C, std::span<Real> to) {
  constexpr std::size_t kColumns = 64;
  context.pool.run((C + kColumns - 1) / kColumns, [&](std::size_t task) {
    for (std::size_t c = task * kColumns; c < std::min(C, (task + 1) * kColumns); ++c) {
      for (std::size_t b = 0; b < B; ++b) to[c * B + b] = from[b * C + c];
    }
  });
}

/// `count` rows of a matrix, by pointer.
template <class Real>
std::span<const Real*> rows_of(CpuContext& context, std::span<const Real> matrix, std::size_t count) {
  const std::span<const Real*> rows = context.arena.take<const Real*>(count);
  for (std::size_t i = 0; i < count; ++i) rows[i] = matrix.data() + i * (matrix.size() / count);
  return rows;
}

/// d_fc_weight [C, P]. A block of outputs stays in the L2 cache while the batch is added to it.
template <class Real>
void sum_weights(CpuContext& context, std::span<const Real* const> d_logits, std::span<const Real* const> pooled,
                 std::size_t C, std::size_t P, Real* d_fc_weight) {
  const std::size_t blocks = (C + kOutputBlock - 1) / kOutputBlock;
  const std::size_t tasks = std::min(blocks, static_cast<std::size_t>(context.pool.size()));
  const std::size_t need = outer_scratch<Exact<Real>>(kOutputBlock, P);
  const std::span<Real> scratch = context.arena.take<Real>(tasks * need);
  context.pool.run(tasks, [&](std::size_t task) HWY_ATTR {
    for (std::size_t i = blocks * task / tasks; i < blocks * (task + 1) / tasks; ++i) {
      sum_outer_part<Exact<Real>>(context, d_logits, pooled, i * kOutputBlock, std::min(C, (i + 1) * kOutputBlock), P,
                                  d_fc_weight, scratch.subspan(task * need, need));
    }
  });
}

/// d_pooled is a sum over outputs, d_fc_weight one over the batch.
template <class Real>
void run_output_gradient(CpuContext& context, const HeadBackward<Real>& op, std::span<const Real> d_logits,
                         std::span<Real> d_pooled) {
  const auto B = static_cast<std::size_t>(op.shape.batch), C = static_cast<std::size_t>(op.outputs());
  const auto P = static_cast<std::size_t>(op.pooled_width());
  const std::span<Real> of_outputs = context.arena.take<Real>(C * B);
  transpose(context, d_logits, B, C, of_outputs);
  sum_outer<Exact<Real>>(context, rows_of<Real>(context, of_outputs, C), rows_of(context, op.fc_weight, C), B, P,
                         d_pooled.data());
  sum_weights<Real>(context, rows_of(context, d_logits, B), rows_of(context, op.pooled, B), C, P,
                    op.d_fc_weight.data());
}

void logits_f32(CpuContext& context, const HeadForward<float>& op) { run_logits(context, op); }
void logits_f64(CpuContext& context, const HeadForward<double>& op) { run_logits(context, op); }
void output_gradient_f32(CpuContext& context, const HeadBackward<float>& op, std::span<const float> d_logits,
                         std::span<float> d_pooled) {
  run_output_gradient(context, op, d_logits, d_pooled);
}
void output_gradient_f64(CpuContext& context, const HeadBackward<double>& op, std::span<const double> d_logits,
                         std::span<double> d_pooled) {
  run_output_gradient(context, op, d_logits, d_pooled);
}

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel {

HWY_EXPORT(logits_f32);
HWY_EXPORT(logits_f64);
HWY_EXPORT(output_gradient_f32);
HWY_EXPORT(output_gradient_f64);

namespace cpu {
void output_logits(CpuContext& context, const HeadForward<float>& op) { HWY_DYNAMIC_DISPATCH(logits_f32)(context, op); }
void output_logits(CpuContext& context, const HeadForward<double>& op) {
  HWY_DYNAMIC_DISPATCH(logits_f64)(context, op);
}
void output_gradient(CpuContext& context, const HeadBackward<float>& op, std::span<const float> d_logits,
                     std::span<float> d_pooled) {
  HWY_DYNAMIC_DISPATCH(output_gradient_f32)(context, op, d_logits, d_pooled);
}
void output_gradient(CpuContext& context, const HeadBackward<double>& op, std::span<const double> d_logits,
                     std::span<double> d_pooled) {
  HWY_DYNAMIC_DISPATCH(output_gradient_f64)(context, op, d_logits, d_pooled);
}

}  // namespace cpu
}  // namespace reel
#endif  // HWY_ONCE
