// The recurrence and its back-propagation through time. Each task takes a few dozen rows through all time steps; W_hh
// is packed once and read panel by panel, the rows' state stays in the L1 cache, and bias, gather and nonlinearity
// happen while the products are still in registers. Rows that have ended are skipped. Gradients of W_hh are one product
// over all (t, b) pairs after the time loop, cut by rows of W_hh, so that every element is summed in one fixed order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rnn.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "hwy/highway.h"
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

/// The nonlinearity's derivative, from its value.
template <class Real>
HWY_INLINE Vector<Real> slope(Nonlinearity nonlinearity, Vector<Real> h) {
  const Tag<Real> d;
  const Vector<Real> one = hn::Set(d, Real{1});
  return nonlinearity == Nonlinearity::kTanh ? hn::NegMulAdd(h, h, one)
                                             : hn::IfThenElseZero(hn::Gt(h, hn::Zero(d)), one);
}

/// Calls step(t, active) for the steps of one task, in either direction; rows[0 .. active) are those with length > t.
template <class F>
void for_each_step(std::span<const std::size_t> rows, std::span<const std::int32_t> lengths, bool forward,
                   const F& step) {
  if (rows.empty()) return;
  const auto longest = static_cast<std::size_t>(lengths[rows[0]]);
  const auto length = [&](std::size_t i) { return static_cast<std::size_t>(lengths[rows[i]]); };
  std::size_t active = forward ? rows.size() : 0;
  for (std::size_t s = 0; s < longest; ++s) {
    const std::size_t t = forward ? s : longest - 1 - s;
    while (active > 0 && length(active - 1) <= t) --active;
    while (active < rows.size() && length(active) > t) ++active;
    step(t, active);
  }
}

template <class Real>
void run_forward(CpuContext& context, const RnnForward<Real>& args) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const auto T = static_cast<std::size_t>(args.shape.steps);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  const PackedMatrix<Real> w = pack(args.w_hh.data(), 1, H, H, H, context.arena.take<Real>(packed_size<Real>(H, H)));
  const cpu::RowPlan plan = cpu::plan_rows(args.lengths.first(B), context);
  const auto state = context.arena.take<const Real*>(B);
  const auto input = context.arena.take<const Real*>(B);
  const auto next_input = context.arena.take<const Real*>(B);

  context.pool.run(plan.tasks(), [&](std::size_t task) HWY_ATTR {
    const std::span<const std::size_t> rows = plan.task(task);
    const auto h = state.subspan(plan.begin[task], rows.size());
    const auto x = input.subspan(plan.begin[task], rows.size());
    const auto x_next = next_input.subspan(plan.begin[task], rows.size());
    for_each_step(rows, args.lengths, true, [&](std::size_t t, std::size_t active) HWY_ATTR {
      for (std::size_t i = 0; i < active; ++i) {
        h[i] = args.h.data() + (t * B + rows[i]) * H;
        x[i] = args.projected.data() + static_cast<std::size_t>(args.row[rows[i] * T + t]) * H;
        const bool last = t + 1 == static_cast<std::size_t>(args.lengths[rows[i]]);
        x_next[i] = last ? x[i] : args.projected.data() + static_cast<std::size_t>(args.row[rows[i] * T + t + 1]) * H;
      }
      Real* const next = args.h.data() + (t + 1) * B * H;
      multiply_rows<Real>(h.first(active), w,
                          [&](std::size_t i, std::size_t column, std::size_t left, Vector<Real> sum) HWY_ATTR {
                            hwy::Prefetch(x_next[i] + column);
                            const Vector<Real> z = hn::Add(sum, load_part(x[i] + column, left));
                            store_part(activate<Real>(args.nonlinearity, z), next + rows[i] * H + column, left);
                          });
    });
  });
}

/// What the pooling adds to the gradient of h[t + 1, b], as a factor of d_pooled[b].
template <class Real>
Real pool_weight(Pool pool, std::size_t length, std::size_t t) {
  if (pool == Pool::kMean) return Real{1} / static_cast<Real>(length);
  return t + 1 == length ? Real{1} : Real{0};
}

/// dz of every row and step, from the last step to the first.
template <class Real>
void run_time_loop(CpuContext& context, const RnnBackward<Real>& args, const PackedMatrix<Real>& w,
                   const cpu::RowPlan& plan) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  const auto later = context.arena.take<const Real*>(B);
  context.pool.run(plan.tasks(), [&](std::size_t task) HWY_ATTR {
    const Tag<Real> d;
    const std::span<const std::size_t> rows = plan.task(task);
    const auto dz_later = later.subspan(plan.begin[task], rows.size());
    std::size_t running = 0;  // rows that already ran at step t + 1
    for_each_step(rows, args.lengths, false, [&](std::size_t t, std::size_t active) HWY_ATTR {
      const auto finish = [&](std::size_t i, std::size_t column, std::size_t left, Vector<Real> dh) HWY_ATTR {
        const std::size_t b = rows[i];
        const Real weight = pool_weight<Real>(args.pool, static_cast<std::size_t>(args.lengths[b]), t);
        if (weight != 0) {
          dh = hn::MulAdd(hn::Set(d, weight), load_part(args.d_pooled.data() + b * H + column, left), dh);
        }
        hwy::Prefetch(args.h.data() + (t * B + b) * H + column);  // of the next step
        const Vector<Real> h = load_part(args.h.data() + ((t + 1) * B + b) * H + column, left);
        store_part(hn::Mul(dh, slope<Real>(args.nonlinearity, h)), args.dz.data() + (t * B + b) * H + column, left);
      };
      for (std::size_t i = 0; i < running; ++i) dz_later[i] = args.dz.data() + ((t + 1) * B + rows[i]) * H;
      multiply_rows<Real>(dz_later.first(running), w, finish);
      for (std::size_t i = running; i < active; ++i) {  // rows whose last step this is
        for (std::size_t column = 0; column < H; column += kLanes<Real>) finish(i, column, H - column, hn::Zero(d));
      }
      running = active;
    });
  });
}

template <class Real>
void run_initial_gradient(CpuContext& context, const RnnBackward<Real>& args, const PackedMatrix<Real>& w) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  const auto rows = context.arena.take<const Real*>(B);
  const auto batch_row = context.arena.take<std::size_t>(B);
  std::size_t running = 0;
  for (std::size_t b = 0; b < B; ++b) {
    if (args.lengths[b] > 0) {
      rows[running] = args.dz.data() + b * H;
      batch_row[running++] = b;
    } else {
      const Real weight = args.pool == Pool::kLast ? Real{1} : Real{0};
      for (std::size_t j = 0; j < H; ++j) args.d_h0[b * H + j] = weight * args.d_pooled[b * H + j];
    }
  }
  multiply_rows<Real>(rows.first(running), w,
                      [&](std::size_t i, std::size_t column, std::size_t left, Vector<Real> sum)
                          HWY_ATTR { store_part(sum, args.d_h0.data() + batch_row[i] * H + column, left); });
}

/// d_w_hh = sum of dz[t, b] h[t, b]^T, t ascending, b ascending.
template <class Real>
void run_weight_gradient(CpuContext& context, const RnnBackward<Real>& args) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  std::size_t longest = 0;
  std::size_t pairs = 0;
  for (std::size_t b = 0; b < B; ++b) {
    longest = std::max(longest, static_cast<std::size_t>(args.lengths[b]));
    pairs += static_cast<std::size_t>(args.lengths[b]);
  }
  const auto dz = context.arena.take<const Real*>(pairs);
  const auto h = context.arena.take<const Real*>(pairs);
  std::size_t filled = 0;
  for (std::size_t t = 0; t < longest; ++t) {
    for (std::size_t b = 0; b < B; ++b) {
      if (static_cast<std::size_t>(args.lengths[b]) <= t) continue;
      dz[filled] = args.dz.data() + (t * B + b) * H;
      h[filled++] = args.h.data() + (t * B + b) * H;
    }
  }
  const std::size_t tiles = (H + kGroupRows - 1) / kGroupRows;
  const std::size_t tasks = std::min(tiles, static_cast<std::size_t>(context.pool.size()));
  const std::size_t need = outer_scratch<Real>((tiles + tasks - 1) / tasks * kGroupRows, H);
  const auto scratch = context.arena.take<Real>(tasks * need);
  context.pool.run(tasks, [&](std::size_t task) HWY_ATTR {
    const std::size_t first = tiles * task / tasks * kGroupRows;
    const std::size_t last = std::min(H, tiles * (task + 1) / tasks * kGroupRows);
    std::fill_n(args.d_w_hh.data() + first * H, (last - first) * H, Real{0});
    add_outer<Real>(dz, h, first, last, H, args.d_w_hh.data(), scratch.subspan(task * need, need));
  });
}

template <class Real>
void run_backward(CpuContext& context, const RnnBackward<Real>& args) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  const PackedMatrix<Real> w = pack(args.w_hh.data(), H, 1, H, H, context.arena.take<Real>(packed_size<Real>(H, H)));
  const cpu::RowPlan plan = cpu::plan_rows(args.lengths.first(B), context);
  run_time_loop(context, args, w, plan);
  if (!args.d_h0.empty()) run_initial_gradient(context, args, w);
  run_weight_gradient(context, args);
}

// Run-time dispatch needs functions that are no templates.
void rnn_forward_f32(CpuContext& context, const RnnForward<float>& args) { run_forward(context, args); }
void rnn_forward_f64(CpuContext& context, const RnnForward<double>& args) { run_forward(context, args); }
void rnn_backward_f32(CpuContext& context, const RnnBackward<float>& args) { run_backward(context, args); }
void rnn_backward_f64(CpuContext& context, const RnnBackward<double>& args) { run_backward(context, args); }
const char* target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel {

HWY_EXPORT(rnn_forward_f32);
HWY_EXPORT(rnn_forward_f64);
HWY_EXPORT(rnn_backward_f32);
HWY_EXPORT(rnn_backward_f64);
HWY_EXPORT(target_name);

namespace cpu {
void rnn_forward(CpuContext& context, const RnnForward<float>& args) {
  context.arena.reset();
  HWY_DYNAMIC_DISPATCH(rnn_forward_f32)(context, args);
}

void rnn_forward(CpuContext& context, const RnnForward<double>& args) {
  context.arena.reset();
  HWY_DYNAMIC_DISPATCH(rnn_forward_f64)(context, args);
}

void rnn_backward(CpuContext& context, const RnnBackward<float>& args) {
  context.arena.reset();
  HWY_DYNAMIC_DISPATCH(rnn_backward_f32)(context, args);
}

void rnn_backward(CpuContext& context, const RnnBackward<double>& args) {
  context.arena.reset();
  HWY_DYNAMIC_DISPATCH(rnn_backward_f64)(context, args);
}

const char* instruction_set() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

}  // namespace cpu
}  // namespace reel
#endif  // HWY_ONCE
