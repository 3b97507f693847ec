// Back-propagation through time, the twin of rnn_forward.cpp: each task takes its rows from the last step to the first.
// Gradients of W_hh are one product over all (t, b) pairs after the time loop, cut by rows of W_hh, so that every
// element is summed in one fixed order. Mixed precision rounds the factors of both products to bfloat16.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rnn_backward.cpp"
#include "hwy/foreach_target.h"
// foreach_target.h comes first
#include "hwy/highway.h"
#include "kernels/check.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/outer-inl.h"
#include "kernels/cpu/products-inl.h"
#include "kernels/cpu/row_plan.h"

HWY_BEFORE_NAMESPACE();
namespace reel {
namespace HWY_NAMESPACE {

/// The nonlinearity's derivative, from its value.
template <class Real>
HWY_INLINE Vector<Real> slope(Nonlinearity nonlinearity, Vector<Real> h) {
  const Tag<Real> d;
  const Vector<Real> one = hn::Set(d, Real{1});
  return nonlinearity == Nonlinearity::kTanh ? hn::NegMulAdd(h, h, one)
                                             : hn::IfThenElseZero(hn::Gt(h, hn::Zero(d)), one);
}

/// What the pooling adds to the gradient of h[t + 1, b], as a factor of d_pooled[b].
template <class Real>
Real pool_weight(Pool pool, std::size_t length, std::size_t t) {
  if (pool == Pool::kMean) return Real{1} / static_cast<Real>(length);
  return t + 1 == length ? Real{1} : Real{0};
}

/// W_hh^T, packed: its rows multiply dz.
template <class Operand>
PackedMatrix<Operand> pack_transposed(CpuContext& context, std::span<const typename Operand::Real> w_hh,
                                      std::size_t H) {
  return pack<Operand>(w_hh.data(), H, 1, H, H, context.arena.take<typename Operand::Word>(packed_size<Operand>(H, H)));
}

/// What one step of a row reads and writes. The pooling's gradient counts `weight` times.
template <class Real>
struct RowStepBack {
  const Real *h, *d_pooled;
  Real* dz;
  Real weight;
};

/// Makes dz of W_hh^T . dz of the step after.
template <class Operand>
struct EarlierGradient {
  using Real = typename Operand::Real;
  const RowStepBack<Real>* rows;
  std::size_t step_size;  // elements from a row's h to that of the next step
  FactorRows<Operand> factors;
  std::size_t first_factor;  // where the factors of row 0 are kept
  Nonlinearity nonlinearity;

  template <class Part>
  HWY_INLINE void operator()(std::size_t i, std::size_t column, Part part, Vector<Real> dh) const {
    const RowStepBack<Real> row = rows[i];
    if (row.weight != 0) {
      dh = hn::MulAdd(hn::Set(Tag<Real>(), row.weight), load_part(row.d_pooled + column, part), dh);
    }
    hwy::Prefetch(row.h - step_size + column);
    const Vector<Real> dz = hn::Mul(dh, slope<Real>(nonlinearity, load_part(row.h + column, part)));
    factors.keep(first_factor + i, column, dz);
    store_part(dz, row.dz + column, part);
  }
};

/// dz of every row and step, from the last step to the first.
template <class Operand, class Real = typename Operand::Real>
void run_time_loop(CpuContext& context, const RnnBackward<Real>& args) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  const PackedMatrix<Operand> w = pack_transposed<Operand>(context, args.w_hh, H);
  const cpu::RowPlan plan = cpu::plan_rows(args.lengths.first(B), context);
  const auto gradients = context.arena.take<const typename Operand::Word*>(B);
  const auto row_steps = context.arena.take<RowStepBack<Real>>(B);
  const FactorRows<Operand> factors(2 * B, H, context);  // of the gradients of two steps in turn
  context.pool.run(plan.tasks(), [&](std::size_t task) HWY_ATTR {
    const std::span<const std::size_t> rows = plan.task(task);
    const std::size_t place = plan.begin[task];
    const auto dz_later = gradients.subspan(place, rows.size());
    const auto step = row_steps.subspan(place, rows.size());
    const auto slot = [&](std::size_t t) { return t % 2 * B + place; };
    std::size_t running = 0;  // rows that already ran at step t + 1
    cpu::for_each_step(context, rows, args.lengths, false, [&](std::size_t t, std::size_t active) HWY_ATTR {
      for (std::size_t i = 0; i < active; ++i) {
        const std::size_t b = rows[i];
        Real* const dz = args.dz.data() + (t * B + b) * H;
        dz_later[i] = factors.row(slot(t + 1) + i, dz + B * H);
        step[i] = {.h = args.h.data() + ((t + 1) * B + b) * H,
                   .d_pooled = args.d_pooled.data() + b * H,
                   .dz = dz,
                   .weight = pool_weight<Real>(args.pool, static_cast<std::size_t>(args.lengths[b]), t)};
      }
      const EarlierGradient<Operand> finish{.rows = step.data(),
                                            .step_size = B * H,
                                            .factors = factors,
                                            .first_factor = slot(t),
                                            .nonlinearity = args.nonlinearity};
      multiply_rows<Operand>(dz_later.first(running), w, finish);
      for (std::size_t i = running; i < active; ++i) {  // rows whose last step this is
        for (std::size_t column = 0; column < H; column += kLanes<Real>) {
          finish(i, column, H - column, hn::Zero(Tag<Real>()));
        }
      }
      running = active;
    });
  });
}

template <class Real>
void run_initial_gradient(CpuContext& context, const RnnBackward<Real>& args) {
  const auto B = static_cast<std::size_t>(args.shape.batch);
  const auto H = static_cast<std::size_t>(args.shape.hidden);
  const auto w = pack_transposed<Exact<Real>>(context, args.w_hh, H);
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
  multiply_rows<Exact<Real>>(rows.first(running), w,
                             [=, to = args.d_h0.data()](std::size_t i, std::size_t column, auto part, Vector<Real> sum)
                                 HWY_ATTR { store_part(sum, to + batch_row[i] * H + column, part); });
}

/// d_w_hh = sum of dz[t, b] h[t, b]^T, t ascending, b ascending.
template <class Operand, class Real = typename Operand::Real>
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
  sum_outer<Operand>(context, dz, h, H, H, args.d_w_hh.data());
}

template <class Operand, class Real = typename Operand::Real>
void run_backward(CpuContext& context, const RnnBackward<Real>& args) {
  run_time_loop<Operand>(context, args);
  if (!args.d_h0.empty()) run_initial_gradient(context, args);
  run_weight_gradient<Operand>(context, args);
}

// Run-time dispatch needs functions that are no templates.
void rnn_backward_f32(CpuContext& context, const RnnBackward<float>& args) {
  run_backward<Exact<float>>(context, args);
}
void rnn_backward_f64(CpuContext& context, const RnnBackward<double>& args) {
  run_backward<Exact<double>>(context, args);
}
#if REEL_BF16
void rnn_backward_bf16(CpuContext& context, const RnnBackward<float>& args) { run_backward<Bf16>(context, args); }
#else
void rnn_backward_bf16(CpuContext&, const RnnBackward<float>&) { fail("rnn_backward: {}", kNoBf16); }
#endif

}  // namespace HWY_NAMESPACE
}  // namespace reel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reel {

HWY_EXPORT(rnn_backward_f32);
HWY_EXPORT(rnn_backward_f64);
HWY_EXPORT(rnn_backward_bf16);

namespace cpu {
void rnn_backward(CpuContext& context, const RnnBackward<float>& args) {
  context.arena.reset();
  if (cpu::takes_bf16(context, args.nonlinearity)) return HWY_DYNAMIC_DISPATCH(rnn_backward_bf16)(context, args);
  HWY_DYNAMIC_DISPATCH(rnn_backward_f32)(context, args);
}

void rnn_backward(CpuContext& context, const RnnBackward<double>& args) {
  context.arena.reset();
  HWY_DYNAMIC_DISPATCH(rnn_backward_f64)(context, args);
}

}  // namespace cpu
}  // namespace reel
#endif  // HWY_ONCE
