// One optimizer step in one pass over the parameters: a thread for each. The rules and their rates:
// kernels/optimizer_rates.h. Table rows that the batch did not touch are updated with gradient 0, without reading one.
// Lazy rows: a warp for each that is to be brought up to date, which takes all steps that the row lacks in registers.
#include "kernels/optimizer_rates.h"

#include <limits>
#include <type_traits>

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/operations.h"

namespace reel::cuda {
namespace {

/// Which step it is, and its rates and those of the steps before: of step s at s % `ring`.
struct StepOf {
  const StepRates<float>* rates;
  const StepClock* clock;  // or null
  int after, ring;         // so many after the clock's step

  __device__ int number() const { return clock == nullptr ? after : static_cast<int>(clock->step) + after; }
  __device__ const StepRates<float>& at(int step) const { return rates[step % ring]; }
  /// Four numbers at a time: these are loads of every element.
  __device__ OptimizerRates<float> rates_at(int step) const {
    static_assert(sizeof(OptimizerRates<float>) == 11 * sizeof(float));
    const OptimizerRates<float>& r = at(step).rates;
    const float4* const four = reinterpret_cast<const float4*>(&r);
    const float4 a = four[0], b = four[1], c = four[2];
    return {.decay = a.x,
            .shrink = a.y,
            .momentum = a.z,
            .rest1 = a.w,
            .rest2 = b.x,
            .root_scale = b.y,
            .inside = b.z,
            .outside = b.w,
            .move_rate = c.x,
            .step_rate = c.y,
            .nesterov = r.nesterov};
  }
};

struct StepArgs {
  StepOf step;
  const std::int32_t* slot;  // [V]
  const float* rows;         // [U, E] gradient
  const float* dense;        // [D] gradient
  const float* scale;        // [1]
  float* parameters;         // [V*E + D]
  float* state1;             // [V*E + D]
  float* state2;             // [V*E + D] or null
  std::int64_t table, size;  // V*E, V*E + D
  std::int64_t embedding_size;
};

struct LazyArgs {
  StepOf step;
  const std::int32_t* count;   // [1] of `tokens`
  const std::int32_t* tokens;  // [listed]
  const std::int32_t* slot;    // [V] rows that stand among `tokens`
  const float* rows;           // [listed, E] gradient of their last step, or null: they catch up, as all [0, rest) do
  const float* dense;          // [D] gradient
  const float* scale;          // [1]
  std::int32_t* taken;         // [V]
  float* parameters;           // [V*E + D]
  float* state1;               // [V*E + D]
  float* state2;               // [V*E + D] or null
  std::int64_t listed, rest;   // rows: those of `tokens`, then others, at most so many; dense ones afterwards
  std::int64_t row_blocks;     // of both
  std::int64_t vocabulary;     // V
  std::int64_t table, size;    // V*E, V*E + D
  std::int64_t embedding_size;
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

/// A whole step with the gradient that comes from the loss.
template <OptimizerKind kKind>
__device__ inline void take(const OptimizerRates<float>& r, float gradient, Element& e) {
  e.g = fmaf(r.decay, e.w, gradient);
  e.w = fmaf(-r.shrink, e.w, e.w);
  apply<kKind>(r, e);
}

/// Infinity is not.
__device__ inline bool moderate(float x) {
  constexpr float kMost = std::numeric_limits<float>::max() / 4;
  return fabsf(x) <= kMost;
}

/// Whether idle() gives the bits of all steps that may be lacking, see IdleBounds.
template <OptimizerKind kKind>
__device__ inline bool idles(const IdleBounds<float>& b, const Element& e) {
  if constexpr (kKind == OptimizerKind::kAdam) {
    constexpr float kNormal = std::numeric_limits<float>::min();
    const float root = e.s2 >= b.least_squares ? __fsqrt_rn(e.s2) : 0.0f;
    const float part = __fmul_rn(b.rounding, fabsf(e.w)), most = __fmul_rn(part, fmaf(root, b.root_scale, b.outside));
    const bool exact = (part >= kNormal && most >= kNormal) || e.w == 0;
    return __fmul_rn(b.step_rate, fabsf(e.s1)) <= most && moderate(most) && exact && e.s2 >= 0;
  } else if constexpr (kKind == OptimizerKind::kSgd) {
    return false;  // nothing would be gained
  } else {
    const float moved = __fmul_rn(static_cast<float>(LazyRows::kMaxLag), __fmul_rn(b.step_rate, e.s2));
    return e.s1 >= 0 && moderate(e.s1) && moderate(e.w) && moderate(moved);
  }
}

/// take() with gradient 0, without root and division.
template <OptimizerKind kKind>
__device__ inline void idle(const OptimizerRates<float>& r, Element& e) {
  e.w = fmaf(-r.shrink, e.w, e.w);
  if constexpr (kKind == OptimizerKind::kAdam) {
    e.s1 = fmaf(-r.rest1, e.s1, e.s1);
    e.s2 = fmaf(-r.rest2, e.s2, e.s2);
  } else if constexpr (kKind == OptimizerKind::kRmsprop) {
    e.s1 = fmaf(-r.rest2, e.s1, e.s1);
    e.s2 = fmaf(r.momentum, e.s2, 0.0f);
    e.w = fmaf(-r.step_rate, e.s2, e.w);
  } else {
    e.s1 = __fadd_rn(e.s1, 0.0f);
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
  Element e{args.parameters[i], 0, args.state1[i], args.state2 != nullptr ? args.state2[i] : 0.0f};
  take<kKind>(args.step.rates_at(args.step.number()), gradient, e);
  args.parameters[i] = e.w;
  args.state1[i] = e.s1;
  if (args.state2 != nullptr) args.state2[i] = e.s2;
}

/// Element i takes the steps from `first` up to `step`, the last one with a gradient if it has one.
template <OptimizerKind kKind>
__device__ inline void take_steps(const LazyArgs& args, std::int64_t i, int first, int step, const float* gradient) {
  Element e{args.parameters[i], 0, args.state1[i], args.state2 != nullptr ? args.state2[i] : 0.0f};
  const int last = gradient == nullptr ? step : step - 1;
  const IdleBounds<float> bounds = args.step.at(step).idle;
  if (bounds.possible && idles<kKind>(bounds, e)) {
    for (int s = first; s <= last; ++s) idle<kKind>(args.step.rates_at(s), e);
  } else {
    for (int s = first; s <= last; ++s) {
      if (args.state2 == nullptr) e.s2 = 0;
      take<kKind>(args.step.rates_at(s), 0, e);
    }
  }
  if (gradient != nullptr) {
    if (args.state2 == nullptr) e.s2 = 0;
    take<kKind>(args.step.rates_at(step), __fmul_rn(args.scale[0], *gradient), e);
  }
  args.parameters[i] = e.w;
  args.state1[i] = e.s1;
  if (args.state2 != nullptr) args.state2[i] = e.s2;
}

constexpr int kRowsABlock = 8;  // a warp each

template <OptimizerKind kKind>
__global__ void lazy_rows_kernel(LazyArgs args) {
  const int step = args.step.number();
  if (blockIdx.x >= args.row_blocks) {
    const std::int64_t j = (blockIdx.x - args.row_blocks) * blockDim.x + threadIdx.x, i = args.table + j;
    if (i < args.size) take_steps<kKind>(args, i, step, step, args.dense + j);
    return;
  }
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t E = args.embedding_size;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kRowsABlock + threadIdx.x / 32;
  std::int64_t v = row - args.listed;
  const float* gradient = nullptr;
  if (row < args.listed) {
    if (row >= args.count[0]) return;
    v = args.tokens[row];
    if (args.rows != nullptr) gradient = args.rows + row * E;
  } else if (args.rows != nullptr) {
    const RowRange share = LazyRows::share(args.vocabulary, step);
    v += share.begin;
    if (v >= share.end || args.slot[v] >= 0) return;
  } else if (v >= args.rest) {
    return;
  }
  const int first = args.taken[v] + 1;
  __syncwarp();  // all lanes have read it
  if (first > step) return;
  for (std::int64_t e = lane; e < E; e += 32) {
    take_steps<kKind>(args, v * E + e, first, step, gradient != nullptr ? gradient + e : nullptr);
  }
  if (lane == 0) args.taken[v] = step;
}

/// Calls run(kind) with the kind as a constant. AdamW differs from Adam in its rates alone.
template <class Run>
void with_kind(OptimizerKind kind, const Run& run) {
  switch (kind) {
    case OptimizerKind::kSgd:
      return run(std::integral_constant<OptimizerKind, OptimizerKind::kSgd>());
    case OptimizerKind::kRmsprop:
      return run(std::integral_constant<OptimizerKind, OptimizerKind::kRmsprop>());
    case OptimizerKind::kAdagrad:
      return run(std::integral_constant<OptimizerKind, OptimizerKind::kAdagrad>());
    default:
      return run(std::integral_constant<OptimizerKind, OptimizerKind::kAdam>());
  }
}

struct PutRatesArgs {
  RecentRates<float> recent;
  StepRates<float>* rates;  // [kMaxLag]
};

/// A thread for each step.
__global__ void put_rates_kernel(PutRatesArgs args) {
  const auto s = static_cast<int>(threadIdx.x);
  args.rates[s].rates = args.recent.of_step[s];
  args.rates[s].idle = args.recent.idle;
}

RecentRates<float> given_rates(const CatchUp<float>& op) { return recent_rates(op); }
RecentRates<float> given_rates(const OptimizerStep<float>& op) {
  if (!op.lazy.taken.empty()) return recent_rates(op);
  RecentRates<float> recent;
  recent.of_step[op.step % LazyRows::kMaxLag] = optimizer_rates(op);
  return recent;
}

/// The step `after` the clock's; without a clock, rates are put into scratch memory.
template <class Op>
StepOf step_of(CudaContext& context, const Op& op, int after) {
  if (op.clock != nullptr) return {op.rates.data(), op.clock, after, static_cast<int>(op.rates.size())};
  constexpr int kSteps = LazyRows::kMaxLag;
  context.scratch.reserve(Scratch::need<StepRates<float>>(kSteps));
  auto* const rates = context.scratch.take<StepRates<float>>(kSteps);
  launch(put_rates_kernel, per_block(context, 1, kSteps, {.bytes = kSteps * sizeof(StepRates<float>), .loads = 1}),
         {given_rates(op), rates});
  return {rates, nullptr, static_cast<int>(op.step), kSteps};
}

void launch_lazy(CudaContext& context, OptimizerKind kind, LazyArgs args) {
  const auto blocks = [](std::int64_t count, std::int64_t size) { return (count + size - 1) / size; };
  constexpr int kThreads = kRowsABlock * 32;
  args.row_blocks = blocks(args.listed + args.rest, kRowsABlock);
  const std::int64_t dense = args.dense == nullptr ? 0 : args.size - args.table;
  const std::int64_t numbers = (args.listed + args.rest) * args.embedding_size + dense;
  const Work work{.bytes = bytes_of((args.state2 == nullptr ? 4 : 6) * numbers), .loads = 6};
  with_kind(kind, [&](auto kKind) {
    launch(lazy_rows_kernel<kKind>, per_block(context, args.row_blocks + blocks(dense, kThreads), kThreads, work),
           args);
  });
}

}  // namespace

void execute(CudaContext& context, const CatchUp<float>& op) {
  const auto rows = static_cast<std::int64_t>(op.lazy.taken.size());
  const bool all = op.index.tokens.empty();
  launch_lazy(context, op.settings.kind,
              {.step = step_of(context, op, 0),
               .count = op.index.count.data(),
               .tokens = op.index.tokens.data(),
               .slot = nullptr,
               .rows = nullptr,
               .dense = nullptr,
               .scale = nullptr,
               .taken = op.lazy.taken.data(),
               .parameters = op.parameters.data(),
               .state1 = op.state1.data(),
               .state2 = address_of(op.state2),
               .listed = op.index.capacity(),
               .rest = all ? rows : 0,
               .row_blocks = 0,
               .vocabulary = rows,
               .table = rows * op.embedding,
               .size = static_cast<std::int64_t>(op.parameters.size()),
               .embedding_size = op.embedding});
}

void execute(CudaContext& context, const OptimizerStep<float>& op) {
  const ParameterGradient<float>& gradient = op.gradient;
  if (!op.lazy.taken.empty()) {
    const std::int64_t V = gradient.index.vocabulary();
    return launch_lazy(context, op.settings.kind,
                       {.step = step_of(context, op, 1),
                        .count = gradient.index.count.data(),
                        .tokens = gradient.index.tokens.data(),
                        .slot = gradient.index.slot.data(),
                        .rows = gradient.rows.data(),
                        .dense = gradient.dense.data(),
                        .scale = op.scale.data(),
                        .taken = op.lazy.taken.data(),
                        .parameters = op.parameters.data(),
                        .state1 = op.state1.data(),
                        .state2 = address_of(op.state2),
                        .listed = gradient.index.capacity(),
                        .rest = (V + LazyRows::kMaxLag - 1) / LazyRows::kMaxLag,
                        .row_blocks = 0,
                        .vocabulary = V,
                        .table = gradient.table(),
                        .size = static_cast<std::int64_t>(op.parameters.size()),
                        .embedding_size = gradient.embedding});
  }
  const StepOf step = step_of(context, op, 1);
  const auto size = static_cast<std::int64_t>(op.parameters.size());
  const auto gradients = static_cast<std::int64_t>(gradient.rows.size() + gradient.dense.size());
  const Work work{.bytes = bytes_of(gradients + (op.state2.empty() ? 4 : 6) * size), .loads = 5};
  with_kind(op.settings.kind, [&](auto kKind) {
    launch(optimizer_step_kernel<kKind>, over(context, size, work),
           {step, gradient.index.slot.data(), gradient.rows.data(), gradient.dense.data(), op.scale.data(),
            op.parameters.data(), op.state1.data(), address_of(op.state2), gradient.table(), size, gradient.embedding});
  });
}

}  // namespace reel::cuda
