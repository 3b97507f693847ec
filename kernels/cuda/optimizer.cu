// One optimizer step in one pass over the parameters: a thread for each. The rules and their rates:
// kernels/optimizer_rates.h. Table rows that the batch did not touch are updated with gradient 0, without reading one.
#include "kernels/optimizer_rates.h"

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/operations.h"

namespace reel::cuda {
namespace {

struct StepArgs {
  OptimizerRates<float> rates;
  const std::int32_t* slot;  // [V]
  const float* rows;         // [U, E] gradient
  const float* dense;        // [D] gradient
  const float* scale;        // [1]
  float* parameters;         // [V*E + D]
  float* state1;             // [V*E + D]
  float* state2;             // [V*E + D] or null
  std::int64_t table, size;  // V*E, V*E + D
  int embedding_size;
};

/// A parameter w, its gradient g after coupled decay, and its state.
struct Element {
  float w, g, s1, s2;
};

template <OptimizerKind kKind>
__device__ inline void apply(const OptimizerRates<float>& r, Element& e) {
  if constexpr (kKind == OptimizerKind::kAdam) {
    e.s1 = fmaf(r.rest1, e.g - e.s1, e.s1);
    e.s2 = fmaf(r.rest2, __fmul_rn(e.g, e.g) - e.s2, e.s2);
    e.w -= __fdiv_rn(__fmul_rn(r.step_rate, e.s1), fmaf(__fsqrt_rn(e.s2), r.root_scale, r.outside));
  } else if constexpr (kKind == OptimizerKind::kSgd) {
    const float move = __fmul_rn(r.move_rate, e.g);
    e.s1 = fmaf(r.momentum, e.s1, move);
    e.w = fmaf(-r.step_rate, r.nesterov ? fmaf(r.momentum, e.s1, move) : e.s1, e.w);
  } else {
    const bool decaying = kKind == OptimizerKind::kRmsprop;
    e.s1 = decaying ? fmaf(r.rest2, __fmul_rn(e.g, e.g) - e.s1, e.s1) : fmaf(e.g, e.g, e.s1);
    const float root = __fadd_rn(__fsqrt_rn(__fadd_rn(e.s1, r.inside)), r.outside);
    const float move = __fdiv_rn(__fmul_rn(r.move_rate, e.g), root);
    if (decaying) e.s2 = fmaf(r.momentum, e.s2, move);
    e.w = fmaf(-r.step_rate, decaying ? e.s2 : move, e.w);
  }
}

template <OptimizerKind kKind>
__global__ void optimizer_step_kernel(StepArgs args) {
  const std::int64_t i = global_thread();
  if (i >= args.size) return;
  float gradient = 0;
  if (i >= args.table) {
    gradient = __fmul_rn(args.scale[0], args.dense[i - args.table]);
  } else {
    const std::int64_t v = i / args.embedding_size;
    const int slot = args.slot[v];
    if (slot >= 0) {
      const std::int64_t index = static_cast<std::int64_t>(slot) * args.embedding_size + (i - v * args.embedding_size);
      gradient = __fmul_rn(args.scale[0], args.rows[index]);
    }
  }
  const OptimizerRates<float>& r = args.rates;
  Element e{args.parameters[i], 0, args.state1[i], args.state2 != nullptr ? args.state2[i] : 0.0f};
  e.g = fmaf(r.decay, e.w, gradient);
  e.w = fmaf(-r.shrink, e.w, e.w);
  apply<kKind>(r, e);
  args.parameters[i] = e.w;
  args.state1[i] = e.s1;
  if (args.state2 != nullptr) args.state2[i] = e.s2;
}

auto kernel_of(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::kSgd:
      return optimizer_step_kernel<OptimizerKind::kSgd>;
    case OptimizerKind::kRmsprop:
      return optimizer_step_kernel<OptimizerKind::kRmsprop>;
    case OptimizerKind::kAdagrad:
      return optimizer_step_kernel<OptimizerKind::kAdagrad>;
    default:  // AdamW differs from Adam in its rates alone
      return optimizer_step_kernel<OptimizerKind::kAdam>;
  }
}

}  // namespace

void execute(CudaContext& context, const OptimizerStep<float>& op) {
  const ParameterGradient<float>& gradient = op.gradient;
  const auto size = static_cast<std::int64_t>(op.parameters.size());
  launch(kernel_of(op.settings.kind), over(context, size),
         {optimizer_rates<float>(op.settings, op.learning_rate, op.step), gradient.index.slot.data(),
          gradient.rows.data(), gradient.dense.data(), op.scale.data(), op.parameters.data(), op.state1.data(),
          op.state2.data(), gradient.table(), size, static_cast<int>(gradient.embedding)});
}

}  // namespace reel::cuda
