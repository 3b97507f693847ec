// Back-propagation through time, the mirror of recurrence_forward.cpp: each task takes its rows from the last step to
// the first. Gradients of W_hh are one product over all (t, b) pairs after the time loop, cut by rows of W_hh, so that
// every element is summed in one fixed order. Mixed precision rounds the factors of both products to bfloat16.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/recurrence_backward.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "hwy/highway.h"
#include "kernels/check.h"
#include "kernels/cpu/cells-inl.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/outer-inl.h"
#include "kernels/cpu/products-inl.h"
#include "kernels/cpu/row_plan.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

/// What flows into single steps of a row: a maximum's part, and a layer's above. What is absent is null.
template <class Real>
struct StepGradient {
  const Real *maximum, *above;
  const std::int32_t* argmax;
  std::int32_t t;

  template <class Part>
  HWY_INLINE Vector<Real> added_to(Vector<Real> dh, std::size_t column, Part part) const {
    if (maximum != nullptr) {
      const Tag<Real> d;
      const auto here = hn::Eq(load_integers<Real>(argmax + column, part), hn::Set(d, static_cast<Real>(t)));
      dh = hn::Add(dh, hn::IfThenElseZero(here, load_part(maximum + column, part)));
    }
    return above == nullptr ? dh : hn::Add(dh, load_part(above + column, part));
  }
};

/// What one step of a row reads and writes; `every`, `last` and `single` are null where nothing flows back into this
/// state.
template <class Real>
struct RowStepBack {
  const Real *h, *every, *last;
  const StepGradient<Real>* single;
  Real* dz;
};

/// Epilogue: turns W_hh^T . d_recurrent[t + 1] into what flows into the gates of step t.
template <class Operand, bool kGated>
struct EarlierGradient {
  using Real = typename Operand::Real;
  const RowStepBack<Real>* rows;
  const GatedStepBack<Real>* gates;  // of gated cells
  std::size_t step_size;             // elements from a row's h to that of the next step
  FactorRows<Operand> factors;
  std::size_t first_factor;  // where the factors of row 0 are kept
  Cell cell;
  std::size_t H;

  template <class Part>
  HWY_INLINE void operator()(std::size_t i, std::size_t column, Part part, Vector<Real> dh) const {
    const RowStepBack<Real> row = rows[i];
    if (row.every != nullptr) dh = hn::Add(dh, load_part(row.every + column, part));
    if (row.last != nullptr) dh = hn::Add(dh, load_part(row.last + column, part));
    if (row.single != nullptr) dh = row.single->added_to(dh, column, part);
    if constexpr (kGated) {
      return run_gated_step_back(cell, gates[i], H, column, part, dh, [&](std::size_t gate, Vector<Real> v) HWY_ATTR {
        factors.keep(first_factor + i, gate * H + column, v, part);
      });
    }
    hwy::Prefetch(row.h - step_size + column);
    const Vector<Real> dz = input_gradient<Real>(cell, dh, load_part(row.h + column, part));
    factors.keep(first_factor + i, column, dz);
    store_part(dz, row.dz + column, part);
  }
};

/// How many of a row's steps no gradient reaches.
template <class Real>
std::size_t steps_before(const RecurrenceBackward<Real>& op, std::size_t b) {
  const auto length = static_cast<std::size_t>(op.lengths[b]), bptt = static_cast<std::size_t>(op.bptt);
  return bptt == 0 || bptt >= length ? 0 : length - bptt;
}

/// Those steps' gradients.
template <class Real>
void clear_steps(const RecurrenceBackward<Real>& op, std::size_t b) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const auto GH = static_cast<std::size_t>(traits(op.cell).gates * op.shape.hidden);
  for (std::size_t t = 0; t < steps_before(op, b); ++t) {
    std::fill_n(op.d_input.data() + (t * B + b) * GH, GH, Real{0});
    std::fill_n(op.recurrent_gradient().data() + (t * B + b) * GH, GH, Real{0});
  }
}

/// d_input and d_recurrent of every row and step, from the last step to the first.
template <class Operand, bool kGated, class Real = typename Operand::Real>
void run_time_loop(CpuContext& context, const RecurrenceBackward<Real>& op) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const auto T = static_cast<std::size_t>(op.shape.steps);
  const auto H = static_cast<std::size_t>(op.shape.hidden);
  const CellTraits& cell = traits(op.cell);
  const std::size_t GH = static_cast<std::size_t>(cell.gates) * H, SH = static_cast<std::size_t>(cell.saved) * H;
  const std::span<Real> d_recurrent = op.recurrent_gradient();
  // W_hh^T: its rows multiply d_recurrent
  const PackedMatrix<Operand> w = pack<Operand>(context, op.w_hh.data(), H, 1, GH, H);
  const cpu::RowPlan plan = cpu::plan_rows(op.lengths.first(B), context);
  const auto gradients = context.arena.take<const typename Operand::Word*>(B);
  const auto row_steps = context.arena.take<RowStepBack<Real>>(B);
  const FactorRows<Operand> factors(2 * B, GH, context);  // of the gradients of two steps in turn
  const auto gated_steps = context.arena.take<GatedStepBack<Real>>(kGated ? B : 0);
  const auto carry = context.arena.take<Real>(kGated ? B * H : 0);
  std::ranges::fill(carry, Real{0});
  const bool past_caches = worth_streaming<Real>(op.d_input, H);
  const OutputGradient<Real>& d_output = op.d_output;
  const Real* const every = d_output.every.data();
  const Real* const last = d_output.last.data();
  const Real* const initial_c = op.initial_c.data();
  const auto single = context.arena.take<StepGradient<Real>>(d_output.has_steps() ? B : 0);
  const auto single_of = [&](std::size_t b, std::size_t t) {
    const Real* above = nullptr;
    if (!d_output.above.values.empty()) {
      const auto row = static_cast<std::size_t>(d_output.above.row_of[b * T + t]);
      above = d_output.above.values.data() + row * static_cast<std::size_t>(d_output.above.width) +
              static_cast<std::size_t>(d_output.column);
    }
    const bool maximum = !d_output.maximum.empty();
    return StepGradient<Real>{.maximum = maximum ? d_output.maximum.data() + b * H : nullptr,
                              .above = above,
                              .argmax = maximum ? d_output.argmax.data() + b * H : nullptr,
                              .t = static_cast<std::int32_t>(t)};
  };
  context.pool.run(plan.tasks(), [&](std::size_t task) HWY_ATTR {
    const std::span<const std::size_t> rows = plan.task(task);
    const std::size_t begin = plan.begin[task];
    const auto dz_later = gradients.subspan(begin, rows.size());
    const auto step = row_steps.subspan(begin, rows.size());
    const auto buffer = [&](std::size_t t) { return t % 2 * B + begin; };
    std::size_t running = 0;  // rows that already ran at step t + 1
    std::size_t done = 0;     // rows, the longest, that have come as far back as gradients go
    cpu::for_each_step(context, rows, op.lengths, false, [&](std::size_t t, std::size_t active) HWY_ATTR {
      for (; done < active && t < steps_before(op, rows[done]); ++done) clear_steps(op, rows[done]);
      for (std::size_t i = done; i < active; ++i) {
        const std::size_t b = rows[i];
        Real* const dz = d_recurrent.data() + (t * B + b) * GH;
        dz_later[i] = factors.row(buffer(t + 1) + i, dz + B * GH);
        step[i] = {.h = op.h.data() + ((t + 1) * B + b) * H,
                   .every = every == nullptr ? nullptr : every + b * H,
                   .last = last == nullptr || t + 1 != static_cast<std::size_t>(op.lengths[b]) ? nullptr : last + b * H,
                   .single = single.empty() ? nullptr : &single[begin + i],
                   .dz = dz};
        if (!single.empty()) single[begin + i] = single_of(b, t);
        if constexpr (!kGated) continue;
        const Real* const saved = op.saved.data() + (t * B + b) * SH;
        const Real* const h = step[i].h - B * H;
        const Real* const c_next = t > 1 ? saved - 2 * B * SH + GH : saved;
        const Real* const h_next = t > 0 ? h - B * H : h;
        gated_steps[begin + i] = {.saved = saved,
                                  .h = h,
                                  .c = t > 0                  ? saved - B * SH + GH
                                       : initial_c == nullptr ? nullptr
                                                              : initial_c + b * H,
                                  .carry = carry.data() + b * H,
                                  .d_input = op.d_input.data() + (t * B + b) * GH,
                                  .d_recurrent = dz,
                                  .streams = past_caches,
                                  .saved_next = t > 0 ? saved - B * SH : saved,
                                  .before_next = op.cell == Cell::kLstm ? c_next : h_next,
                                  .d_recurrent_next = t > 0 ? dz - B * GH : dz};
      }
      const EarlierGradient<Operand, kGated> finish{.rows = step.data() + done,
                                                    .gates = gated_steps.data() + (kGated ? begin + done : 0),
                                                    .step_size = B * H,
                                                    .factors = factors,
                                                    .first_factor = buffer(t) + done,
                                                    .cell = op.cell,
                                                    .H = H};
      multiply_rows<Operand>(dz_later.subspan(done, running - done), w, finish);
      for (std::size_t i = running; i < active; ++i) {  // rows whose last step this is
        for (std::size_t column = 0; column < H; column += kLanes<Real>) {
          finish(i - done, column, H - column, hn::Zero(Tag<Real>()));
        }
      }
      running = active;
    });
    hwy::FlushStream();
  });
}

/// d_w_hh = sum of d_recurrent[t, b] h[t, b]^T, and d_b_hh, t ascending, b ascending.
template <class Operand, class Real = typename Operand::Real>
void run_weight_gradient(CpuContext& context, const RecurrenceBackward<Real>& op) {
  const auto B = static_cast<std::size_t>(op.shape.batch);
  const auto H = static_cast<std::size_t>(op.shape.hidden);
  const std::size_t GH = static_cast<std::size_t>(traits(op.cell).gates) * H;
  std::size_t longest = 0;
  std::size_t pairs = 0;
  for (std::size_t b = 0; b < B; ++b) {
    longest = std::max(longest, static_cast<std::size_t>(op.lengths[b]));
    pairs += static_cast<std::size_t>(op.lengths[b]) - steps_before(op, b);
  }
  const auto dz = context.arena.take<const Real*>(pairs);
  const auto h = context.arena.take<const Real*>(pairs);
  std::size_t filled = 0;
  for (std::size_t t = 0; t < longest; ++t) {
    for (std::size_t b = 0; b < B; ++b) {
      if (static_cast<std::size_t>(op.lengths[b]) <= t || t < steps_before(op, b)) continue;
      dz[filled] = op.recurrent_gradient().data() + (t * B + b) * GH;
      h[filled++] = op.h.data() + (t * B + b) * H;
    }
  }
  sum_outer<Operand>(context, dz, h, GH, H, op.d_w_hh.data());
  if (op.d_b_hh.empty()) return;
  constexpr std::size_t kVectors = 4, kColumns = kVectors * kLanes<Real>;  // of a task: cache lines side by side
  constexpr std::size_t kAhead = 16;                                       // pairs between asking for one and adding it
  context.pool.run((H + kColumns - 1) / kColumns, [&](std::size_t task) HWY_ATTR {
    const std::size_t first = task * kColumns, count = std::min(kColumns, H - first);
    const auto last_gate = [&](std::size_t pair) { return dz[pair] + GH - H + first; };
    Vector<Real> sums[kVectors];
    for (Vector<Real>& sum : sums) sum = hn::Zero(Tag<Real>());
    for (std::size_t i = 0; i < dz.size(); ++i) {
      if (i + kAhead < dz.size()) prefetch_row(last_gate(i + kAhead), count);
      REEL_UNROLL for (std::size_t v = 0; v < kVectors; ++v) {
        const std::size_t skip = v * kLanes<Real>;
        if (skip < count) sums[v] = hn::Add(sums[v], load_part(last_gate(i) + skip, count - skip));
      }
    }
    for (std::size_t skip = 0; skip < count; skip += kLanes<Real>) {
      store_part(sums[skip / kLanes<Real>], op.d_b_hh.data() + first + skip, count - skip);
    }
  });
}

template <class Operand, class Real = typename Operand::Real>
void run_backward(CpuContext& context, const RecurrenceBackward<Real>& op) {
  traits(op.cell).gates > 1 ? run_time_loop<Operand, true>(context, op) : run_time_loop<Operand, false>(context, op);
  run_weight_gradient<Operand>(context, op);
}

// Run-time dispatch needs functions that are no templates.
void backward_f32(CpuContext& context, const RecurrenceBackward<float>& op) { run_backward<Exact<float>>(context, op); }
void backward_f64(CpuContext& context, const RecurrenceBackward<double>& op) {
  run_backward<Exact<double>>(context, op);
}
#if REEL_BF16
void backward_bf16(CpuContext& context, const RecurrenceBackward<float>& op) { run_backward<Bf16>(context, op); }
void backward_amx(CpuContext& context, const RecurrenceBackward<float>& op) { run_backward<Amx>(context, op); }
#else
void backward_bf16(CpuContext&, const RecurrenceBackward<float>&) { fail("recurrence_backward: {}", kNoBf16); }
void backward_amx(CpuContext&, const RecurrenceBackward<float>&) { fail("recurrence_backward: {}", kNoBf16); }
#endif

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel {

HWY_EXPORT(backward_f32);
HWY_EXPORT(backward_f64);
HWY_EXPORT(backward_bf16);
HWY_EXPORT(backward_amx);

namespace cpu {
void execute(CpuContext& context, const RecurrenceBackward<float>& op) {
  switch (cpu::products_of(context, op.cell)) {
    case MixedProducts::kAmx:
      return HWY_DYNAMIC_DISPATCH(backward_amx)(context, op);
    case MixedProducts::kBf16:
      return HWY_DYNAMIC_DISPATCH(backward_bf16)(context, op);
    default:
      return HWY_DYNAMIC_DISPATCH(backward_f32)(context, op);
  }
}

void execute(CpuContext& context, const RecurrenceBackward<double>& op) {
  HWY_DYNAMIC_DISPATCH(backward_f64)(context, op);
}

}  // namespace cpu
}  // namespace reel
#endif  // HWY_ONCE
