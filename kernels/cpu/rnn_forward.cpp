// The recurrence. Each task takes a few dozen rows through all time steps; W_hh is packed once and read panel by panel,
// the rows' state stays in the L1 cache, and bias, gather and nonlinearity happen while the products are still in
// registers. Rows that have ended are skipped.
//
// Mixed precision: W_hh and the state that a step reads are rounded to bfloat16, two multiply-adds in each lane of an
// instruction; sums, h and everything after it are float32.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rnn_forward.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "hwy/highway.h"
#include "kernels/check.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/products-inl.h"
#include "kernels/cpu/row_plan.h"
#include "kernels/cpu/tanh-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

template <class Real>
HWY_INLINE Vector<Real> activate(Nonlinearity nonlinearity, Vector<Real> z) {
  const Tag<Real> d;
  return nonlinearity == Nonlinearity::kTanh ? fast_tanh(z) : hn::Max(z, hn::Zero(d));
}

/// What one step of a row reads and writes: its input, that of its next step, and h.
template <class Real>
struct RowStep {
  const Real *x, *x_next;
  Real* h;
};

/// Makes the next state of W_hh . h.
template <class Operand>
struct NextState {
  using Real = typename Operand::Real;
  const RowStep<Real>* rows;
  std::size_t step_size;  // elements from a row's h to that of the next step, if all are kept
  FactorRows<Operand> factors;
  std::size_t first_factor;  // where the factors of row 0 are kept
  Nonlinearity nonlinearity;

  template <class Part>
  HWY_INLINE void operator()(std::size_t i, std::size_t column, Part part, Vector<Real> sum) const {
    const RowStep<Real> row = rows[i];
    hwy::Prefetch(row.x_next + column);
    hwy::Prefetch(row.h + step_size + column);
    const Vector<Real> h = activate<Real>(nonlinearity, hn::Add(sum, load_part(row.x + column, part)));
    factors.keep(first_factor + i, column, h);
    store_part(h, row.h + column, part);
  }
};

template <class Operand, class Real = typename Operand::Real>
void run_forward(CpuContext& context, const RnnForward<Real>& args) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const auto T = static_cast<std::size_t>(args.shape.steps);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  const auto packed = context.arena.take<typename Operand::Word>(packed_size<Operand>(H, H));
  const PackedMatrix<Operand> w = pack<Operand>(args.w_hh.data(), 1, H, H, H, packed);
  const cpu::RowPlan plan = cpu::plan_rows(args.lengths.first(B), context);
  const auto states = context.arena.take<const typename Operand::Word*>(B);
  const auto row_steps = context.arena.take<RowStep<Real>>(B);
  const FactorRows<Operand> factors(2 * B, H, context);                           // of the states of two steps in turn
  const auto passing = context.arena.take<Real>(args.last_only ? 2 * B * H : 0);  // states of two steps, not kept

  context.pool.run(plan.tasks(), [&](std::size_t task) HWY_ATTR {
    const std::span<const std::size_t> rows = plan.task(task);
    const std::size_t place = plan.begin[task];
    const auto state = states.subspan(place, rows.size());
    const auto step = row_steps.subspan(place, rows.size());
    const auto slot = [&](std::size_t t) { return t % 2 * B + place; };
    const auto input = [&](std::size_t b, std::size_t t) {
      const auto row = static_cast<std::size_t>(args.row[b * T + t]);
      REEL_CHECK(row < args.projected.size() / H, "row {}[{}] is {}, {} inputs", b, t, row, args.projected.size() / H);
      return args.projected.data() + row * H;
    };
    const auto state_at = [&](std::size_t t, std::size_t i, bool kept) {
      return kept || !args.last_only ? args.h.data() + (t * B + rows[i]) * H : passing.data() + (slot(t) + i) * H;
    };
    for (std::size_t i = 0; i < rows.size(); ++i) factors.keep_row(slot(0) + i, args.h.data() + rows[i] * H);
    cpu::for_each_step(context, rows, args.lengths, true, [&](std::size_t t, std::size_t active) HWY_ATTR {
      for (std::size_t i = 0; i < active; ++i) {
        const std::size_t b = rows[i];
        const bool last = t + 1 == static_cast<std::size_t>(args.lengths[b]);
        state[i] = factors.row(slot(t) + i, state_at(t, i, t == 0));
        step[i] = {.x = input(b, t), .x_next = input(b, last ? t : t + 1), .h = state_at(t + 1, i, last)};
      }
      multiply_rows<Operand>(state.first(active), w,
                             NextState<Operand>{.rows = step.data(),
                                                .step_size = args.last_only ? 0 : B * H,
                                                .factors = factors,
                                                .first_factor = slot(t + 1),
                                                .nonlinearity = args.nonlinearity});
    });
  });
}

// Run-time dispatch needs functions that are no templates.
void rnn_forward_f32(CpuContext& context, const RnnForward<float>& args) { run_forward<Exact<float>>(context, args); }
void rnn_forward_f64(CpuContext& context, const RnnForward<double>& args) { run_forward<Exact<double>>(context, args); }
#if REEL_BF16
void rnn_forward_bf16(CpuContext& context, const RnnForward<float>& args) { run_forward<Bf16>(context, args); }
#else
void rnn_forward_bf16(CpuContext&, const RnnForward<float>&) { fail("rnn_forward: {}", kNoBf16); }
#endif
const char* target_name() { return hwy::TargetName(HWY_TARGET); }
bool target_has_bf16() { return REEL_BF16 != 0; }

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel {

HWY_EXPORT(rnn_forward_f32);
HWY_EXPORT(rnn_forward_f64);
HWY_EXPORT(rnn_forward_bf16);
HWY_EXPORT(target_name);
HWY_EXPORT(target_has_bf16);

namespace cpu {
void rnn_forward(CpuContext& context, const RnnForward<float>& args) {
  context.arena.reset();
  if (cpu::takes_bf16(context, args.nonlinearity)) return HWY_DYNAMIC_DISPATCH(rnn_forward_bf16)(context, args);
  HWY_DYNAMIC_DISPATCH(rnn_forward_f32)(context, args);
}

void rnn_forward(CpuContext& context, const RnnForward<double>& args) {
  context.arena.reset();
  HWY_DYNAMIC_DISPATCH(rnn_forward_f64)(context, args);
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
