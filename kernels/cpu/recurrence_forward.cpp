// The recurrence. Each task takes a few dozen rows through all time steps; W_hh is packed once and read panel by panel,
// the rows' state stays in the L1 cache, and bias, gather and nonlinearity happen while the products are still in
// registers. Rows that have ended are skipped.
//
// Cells of several gates keep the products of a step, [rows, G*H], and run unit by unit when all gates are there.
//
// Mixed precision: W_hh and the state that a step reads are rounded to bfloat16, two multiply-adds in each lane of an
// instruction; sums, h and everything after it are float32.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/recurrence_forward.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "hwy/highway.h"
#include "kernels/check.h"
#include "kernels/cpu/cells-inl.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/products-inl.h"
#include "kernels/cpu/row_plan.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

/// What one step of a row reads and writes: its input, that of its next step, and h.
template <class Real>
struct RowStep {
  const Real *x, *x_next;
  Real* h;
};

/// Epilogue: turns W_hh . h[t] into h[t + 1].
template <class Operand>
struct NextState {
  using Real = typename Operand::Real;
  const RowStep<Real>* rows;
  std::size_t step_size;  // elements from a row's h to that of the next step, if all are kept
  FactorRows<Operand> factors;
  std::size_t first_factor;  // where the factors of row 0 are kept
  Cell cell;

  template <class Part>
  HWY_INLINE void operator()(std::size_t i, std::size_t column, Part part, Vector<Real> sum) const {
    const RowStep<Real> row = rows[i];
    hwy::Prefetch(row.x_next + column);
    hwy::Prefetch(row.h + step_size + column);
    const Vector<Real> h = next_state<Real>(cell, hn::Add(sum, load_part(row.x + column, part)));
    factors.keep(first_factor + i, column, h);
    store_part(h, row.h + column, part);
  }
};

template <class Operand, class Real = typename Operand::Real>
void run_forward(CpuContext& context, const RecurrenceForward<Real>& op) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const auto T = static_cast<std::size_t>(op.shape.steps);
  const auto H = static_cast<std::size_t>(op.shape.hidden);
  const CellTraits& cell = traits(op.cell);
  const bool gated = cell.gates > 1;
  const std::size_t GH = static_cast<std::size_t>(cell.gates) * H, SH = static_cast<std::size_t>(cell.saved) * H;
  const std::size_t inputs = op.input.values.size() / GH;
  const PackedMatrix<Operand> w = pack<Operand>(context, op.w_hh.data(), 1, H, H, GH);
  const cpu::RowPlan plan = cpu::plan_rows(op.lengths.first(B), context);
  const auto states = context.arena.take<const typename Operand::Word*>(B);
  const auto row_steps = context.arena.take<RowStep<Real>>(B);
  const FactorRows<Operand> factors(2 * B, H, context);                         // of the states of two steps in turn
  const auto passing = context.arena.take<Real>(op.last_only ? 2 * B * H : 0);  // states of two steps, not kept
  const auto gated_steps = context.arena.take<GatedStep<Real>>(gated ? B : 0);
  const auto products = context.arena.take<Real>(gated ? B * GH : 0);
  const auto c = context.arena.take<Real>(op.cell == Cell::kLstm ? B * H : 0);
  const bool past_caches = worth_streaming<Real>(op.saved, H);
  if (op.initial_c.empty()) {
    std::ranges::fill(c, Real{0});
  } else {
    std::ranges::copy(op.initial_c, c.begin());
  }

  context.pool.run(plan.tasks(), [&](std::size_t task) HWY_ATTR {
    const std::span<const std::size_t> rows = plan.task(task);
    const std::size_t begin = plan.begin[task];
    const auto state = states.subspan(begin, rows.size());
    const auto step = row_steps.subspan(begin, rows.size());
    const auto buffer = [&](std::size_t t) { return t % 2 * B + begin; };
    const auto length = [&](std::size_t b) { return static_cast<std::size_t>(op.lengths[b]); };
    const auto input = [&](std::size_t b, std::size_t t) {
      const auto row = static_cast<std::size_t>(op.input.row_of[b * T + t]);
      REEL_CHECK(row < inputs, "row {}[{}] is {}, {} inputs", b, t, row, inputs);
      return op.input.values.data() + row * GH;
    };
    const auto state_at = [&](std::size_t t, std::size_t i, bool kept) {
      return kept || !op.last_only ? op.h.data() + (t * B + rows[i]) * H : passing.data() + (buffer(t) + i) * H;
    };
    for (std::size_t i = 0; i < rows.size(); ++i) factors.keep_row(buffer(0) + i, op.h.data() + rows[i] * H);
    cpu::for_each_step(context, rows, op.lengths, true, [&](std::size_t t, std::size_t active) HWY_ATTR {
      for (std::size_t i = 0; i < active; ++i) {
        const std::size_t b = rows[i];
        const bool last = t + 1 == length(b);
        state[i] = factors.row(buffer(t) + i, state_at(t, i, t == 0));
        step[i] = {.x = input(b, t), .x_next = input(b, last ? t : t + 1), .h = state_at(t + 1, i, last)};
        if (!gated) continue;
        Real* const own = c.empty() ? nullptr : c.data() + b * H;
        GatedStep<Real>& gates = gated_steps[begin + i];
        gates = {.x = step[i].x,
                 .product = products.data() + (begin + i) * GH,
                 .b_hh = op.b_hh.data(),
                 .h = state_at(t, i, t == 0),
                 .c = own,
                 .h_next = step[i].h,
                 .c_next = own,
                 .saved = op.saved.empty() ? nullptr : op.saved.data() + (t * B + b) * SH,
                 .streams = past_caches};
      }
      if (gated) {
        Real* const product = products.data() + begin * GH;
        const RowStep<Real>* const row = step.data();
        multiply_rows<Operand>(state.first(active), w,
                               [=](std::size_t i, std::size_t column, auto part, Vector<Real> sum) HWY_ATTR {
                                 __builtin_prefetch(row[i].x_next + column, 0, 2);
                                 store_part(sum, product + i * GH + column, part);
                               });
        for (std::size_t i = 0; i < active; ++i) {
          const GatedStep<Real>& gates = gated_steps[begin + i];
          std::size_t column = 0;
          for (; column + kLanes<Real> <= H; column += kLanes<Real>) run_gated_step(op.cell, gates, H, column, Whole());
          if (column < H) run_gated_step(op.cell, gates, H, column, H - column);
          factors.keep_row(buffer(t + 1) + i, gates.h_next);
        }
        return;
      }
      multiply_rows<Operand>(state.first(active), w,
                             NextState<Operand>{.rows = step.data(),
                                                .step_size = op.last_only ? 0 : B * H,
                                                .factors = factors,
                                                .first_factor = buffer(t + 1),
                                                .cell = op.cell});
    });
    hwy::FlushStream();
    for (const std::size_t b : rows) {
      if (op.final_c.empty()) break;
      std::copy_n(c.data() + b * H, H, op.final_c.data() + b * H);
    }
  });
}

// Run-time dispatch needs functions that are no templates.
void forward_f32(CpuContext& context, const RecurrenceForward<float>& op) { run_forward<Exact<float>>(context, op); }
void forward_f64(CpuContext& context, const RecurrenceForward<double>& op) { run_forward<Exact<double>>(context, op); }
#if REEL_BF16
void forward_bf16(CpuContext& context, const RecurrenceForward<float>& op) { run_forward<Bf16>(context, op); }
void forward_amx(CpuContext& context, const RecurrenceForward<float>& op) { run_forward<Amx>(context, op); }
#else
void forward_bf16(CpuContext&, const RecurrenceForward<float>&) { fail("recurrence_forward: {}", kNoBf16); }
void forward_amx(CpuContext&, const RecurrenceForward<float>&) { fail("recurrence_forward: {}", kNoBf16); }
#endif
const char* target_name() { return hwy::TargetName(HWY_TARGET); }
bool target_has_bf16() { return REEL_BF16 != 0; }

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel {

HWY_EXPORT(forward_f32);
HWY_EXPORT(forward_f64);
HWY_EXPORT(forward_bf16);
HWY_EXPORT(forward_amx);
HWY_EXPORT(target_name);
HWY_EXPORT(target_has_bf16);

namespace cpu {
void execute(CpuContext& context, const RecurrenceForward<float>& op) {
  switch (cpu::products_of(context, op.cell)) {
    case MixedProducts::kAmx:
      return HWY_DYNAMIC_DISPATCH(forward_amx)(context, op);
    case MixedProducts::kBf16:
      return HWY_DYNAMIC_DISPATCH(forward_bf16)(context, op);
    default:
      return HWY_DYNAMIC_DISPATCH(forward_f32)(context, op);
  }
}

void execute(CpuContext& context, const RecurrenceForward<double>& op) {
  HWY_DYNAMIC_DISPATCH(forward_f64)(context, op);
}
const char* instruction_set() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

bool has_bf16() {
#if HWY_ARCH_X86
  return HWY_DYNAMIC_DISPATCH(target_has_bf16)() && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace cpu
}  // namespace reel
#endif  // HWY_ONCE
