// One optimizer step in one pass over the parameters. Table rows that the batch did not touch are updated with gradient
// 0, without reading one; of lazy rows only the batch's and a share of the others take the steps that they lack.
#include <algorithm>
#include <functional>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/optimizer.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "hwy/highway.h"
#include "kernels/cpu/lagging_rows-inl.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/optimizer_rules-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

/// Elements [first, first + count) of the parameters; `gradient` points to the first one's, or is null for zeros.
template <class Rule, class Real>
void update(const OptimizerStep<Real>& op, const Rates<Real>& rates, std::size_t first, std::size_t count,
            const Real* gradient) {
  const Tag<Real> d;
  const Vector<Real> scale = hn::Set(d, op.scale[0]);
  Real* const w = op.parameters.data() + first;
  Real* const s1 = op.state1.data() + first;
  Real* const s2 = op.state2.empty() ? nullptr : op.state2.data() + first;
  for (std::size_t i = 0; i < count; i += kLanes<Real>) {
    const std::size_t left = count - i;
    Element<Real> e{load_part(w + i, left), hn::Zero(d), load_part(s1 + i, left), hn::Zero(d)};
    if (gradient != nullptr) e.g = hn::Mul(scale, load_part(gradient + i, left));
    if (s2 != nullptr) e.s2 = load_part(s2 + i, left);
    Rule::apply(rates, e);
    store_part(e.w, w + i, left);
    store_part(e.s1, s1 + i, left);
    if (s2 != nullptr) store_part(e.s2, s2 + i, left);
  }
}

constexpr std::size_t kElements = 8192;  // a task
std::size_t rows_a_task(std::size_t embedding) { return std::max<std::size_t>(1, kElements / embedding); }

/// The rows of the index, those of the step's share that are not among them, and the dense parameters.
template <class Rule, class Real>
void run_lazily(CpuContext& context, const OptimizerStep<Real>& op) {
  const TokenIndex& index = op.gradient.index;
  const auto E = static_cast<std::size_t>(op.gradient.embedding), U = static_cast<std::size_t>(index.count[0]);
  const LaggingRows<Rule, Real> lagging(op, E);
  const RowRange share = op.lazy.share(step_of(op));
  const auto first = static_cast<std::size_t>(share.begin), last = static_cast<std::size_t>(share.end);
  const std::size_t rows = rows_a_task(E), dense = op.gradient.dense.size();
  const std::size_t of_batch = (U + rows - 1) / rows, of_share = (last - first + rows - 1) / rows;
  context.pool.run(of_batch + of_share + (dense + kElements - 1) / kElements, [&](std::size_t task) HWY_ATTR {
    if (task < of_batch) {
      const auto row = [&](std::size_t u) { return static_cast<std::size_t>(index.tokens[u]); };
      lagging.for_each(task * rows, std::min(U, (task + 1) * rows), row,
                       [&](std::size_t u, std::size_t v, std::size_t ahead)
                           HWY_ATTR { lagging.take(v, ahead, op.gradient.rows.data() + u * E, op.scale[0]); });
      return;
    }
    task -= of_batch;
    if (task < of_share) {
      const std::size_t begin = first + task * rows;
      lagging.for_each(begin, std::min(last, begin + rows), std::identity(),
                       [&](std::size_t v, std::size_t, std::size_t ahead) HWY_ATTR {
                         if (index.slot[v] < 0) lagging.take(v, ahead, nullptr, 0);
                       });
      return;
    }
    const std::size_t i = (task - of_share) * kElements;
    const Rates<Real> rates(optimizer_rates(op));
    update<Rule>(op, rates, static_cast<std::size_t>(op.gradient.table()) + i, std::min(kElements, dense - i),
                 op.gradient.dense.data() + i);
  });
}

template <class Rule, class Real>
void run_rule(CpuContext& context, const CatchUp<Real>& op) {
  const auto E = static_cast<std::size_t>(op.embedding);
  const LaggingRows<Rule, Real> lagging(op, E);
  const bool all = op.index.tokens.empty();
  const std::size_t count = all ? op.lazy.taken.size() : static_cast<std::size_t>(op.index.count[0]);
  const std::size_t rows = rows_a_task(E);
  const auto row = [&](std::size_t u) { return all ? u : static_cast<std::size_t>(op.index.tokens[u]); };
  context.pool.run((count + rows - 1) / rows, [&](std::size_t task) HWY_ATTR {
    lagging.for_each(task * rows, std::min(count, (task + 1) * rows), row,
                     [&](std::size_t, std::size_t v, std::size_t ahead)
                         HWY_ATTR { lagging.take(v, ahead, nullptr, 0); });
  });
}

template <class Rule, class Real>
void run_rule(CpuContext& context, const OptimizerStep<Real>& op) {
  if (!op.lazy.taken.empty()) return run_lazily<Rule>(context, op);
  const Rates<Real> rates(optimizer_rates(op));
  const std::size_t V = op.gradient.index.slot.size();
  const auto E = static_cast<std::size_t>(op.gradient.embedding);
  const std::size_t rows = rows_a_task(E);
  const std::size_t table_tasks = (V + rows - 1) / rows;
  const std::size_t dense = op.gradient.dense.size();
  context.pool.run(table_tasks + (dense + kElements - 1) / kElements, [&](std::size_t task) HWY_ATTR {
    if (task >= table_tasks) {
      const std::size_t first = (task - table_tasks) * kElements;
      update<Rule>(op, rates, V * E + first, std::min(kElements, dense - first), op.gradient.dense.data() + first);
      return;
    }
    for (std::size_t v = task * rows; v < std::min(V, (task + 1) * rows); ++v) {
      const std::int32_t slot = op.gradient.index.slot[v];
      update<Rule>(op, rates, v * E, E,
                   slot < 0 ? nullptr : op.gradient.rows.data() + static_cast<std::size_t>(slot) * E);
    }
  });
}

template <class Op>
void run_op(CpuContext& context, const Op& op) {
  switch (op.settings.kind) {
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      return run_rule<AdamRule>(context, op);
    case OptimizerKind::kSgd:
      return run_rule<SgdRule>(context, op);
    case OptimizerKind::kRmsprop:
      return run_rule<RmspropRule>(context, op);
    case OptimizerKind::kAdagrad:
      return run_rule<AdagradRule>(context, op);
  }
}

void step_f32(CpuContext& context, const OptimizerStep<float>& op) { run_op(context, op); }
void step_f64(CpuContext& context, const OptimizerStep<double>& op) { run_op(context, op); }
void catch_up_f32(CpuContext& context, const CatchUp<float>& op) { run_op(context, op); }
void catch_up_f64(CpuContext& context, const CatchUp<double>& op) { run_op(context, op); }

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel {

HWY_EXPORT(step_f32);
HWY_EXPORT(step_f64);
HWY_EXPORT(catch_up_f32);
HWY_EXPORT(catch_up_f64);

namespace cpu {
void execute(CpuContext& context, const OptimizerStep<float>& op) { HWY_DYNAMIC_DISPATCH(step_f32)(context, op); }
void execute(CpuContext& context, const OptimizerStep<double>& op) { HWY_DYNAMIC_DISPATCH(step_f64)(context, op); }
void execute(CpuContext& context, const CatchUp<float>& op) { HWY_DYNAMIC_DISPATCH(catch_up_f32)(context, op); }
void execute(CpuContext& context, const CatchUp<double>& op) { HWY_DYNAMIC_DISPATCH(catch_up_f64)(context, op); }

}  // namespace cpu
}  // namespace reel
#endif  // HWY_ONCE
