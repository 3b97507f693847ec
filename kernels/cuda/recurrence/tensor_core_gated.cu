// The recurrence of cells of several gates and its back-propagation through time on tensor cores, each in one launch
// (--precision mixed).
//
// As in tensor_core.cu a block walks through tiles of eight batch rows, states are rounded to fp16 and gradients to
// bfloat16 where they are multiplied, and there is one barrier a step. A warp has 16 units, and of them all gates:
// forward a tile of W_hh for each gate, so that a thread ends up with the products of all gates of its units; back one
// tile of W_hh^T whose columns are the gates of all units. What a unit keeps from step to step stays in its thread's
// registers, in float32. What a thread reads of the next step it fetches by cp.async as soon as it has read this
// step's: the product in between takes as long as memory.
#include <algorithm>

#include "kernels/cuda/recurrence/arguments.cuh"
#include "kernels/cuda/recurrence/cells.cuh"
#include "kernels/cuda/recurrence/dispatch.h"
#include "kernels/cuda/recurrence/strategies.h"
#include "kernels/cuda/recurrence/tensor_core_matrix.cuh"

namespace reel::cuda {
namespace {

constexpr Widths<64, 128> kWidths;
constexpr int kPairs = kTileResults;  // of a unit and a batch row, of a thread

template <int kHidden>
constexpr int kThreads = kHidden / kTileUnits * 32;

/// What a thread alone reads in a step.
template <int kHidden, int kValues>
struct OwnSlots {
  using Slots = float[kValues][kPairs][kThreads<kHidden>];
  Slots& slots;

  __device__ float& at(int value, int p) const { return slots[value][p][threadIdx.x]; }
};

/// Whose numbers a thread works out: pair p is that of a unit and a batch row. Functions rather than arrays: registers
/// are scarce.
struct Pairs {
  const TileRows& rows;
  int first_unit, hidden, batch;

  __device__ Pairs(const TileRows& tile, int hidden_size, int batch_rows)
      : rows(tile),
        first_unit(static_cast<int>(threadIdx.x) / 32 * kTileUnits + tile_unit(0)),
        hidden(hidden_size),
        batch(batch_rows) {}
  __device__ int unit(int p) const { return first_unit + p / 2 * 8; }
  __device__ int row(int p) const { return rows.row[p % 2]; }
  __device__ bool valid(int p) const { return unit(p) < hidden && row(p) < batch; }
  __device__ bool has_step(int t, int p) const { return unit(p) < hidden && t < rows.length[p % 2]; }
  /// Where the unit's numbers of step t begin in an array [T, B, width], which has less than 2^31 elements.
  __device__ unsigned at(int t, int p, int width) const {
    return static_cast<unsigned>(t * batch + row(p)) * static_cast<unsigned>(width) + static_cast<unsigned>(unit(p));
  }
};

template <int kHidden, Cell kCell>
__global__ void __launch_bounds__(kThreads<kHidden>) rnn_forward_tensor_core_gated_kernel(RnnForwardArgs args) {
  constexpr int kGates = traits(kCell).gates, kSaved = traits(kCell).saved;
  using Matrix = TensorCoreTiles<kGates, kHidden, 1, __half>;
  using Inputs = OwnSlots<kHidden, kGates>;
  REEL_SHARED(typename Matrix::Vectors[2], states);
  REEL_SHARED(typename Inputs::Slots, slots);
  const Inputs inputs{slots};
  const int H = args.hidden, first_unit = static_cast<int>(threadIdx.x) / 32 * kTileUnits;
  static_assert(sizeof(slots) >= kThreads<kHidden> / 32 * sizeof(typename Matrix::Staging));
  Matrix w_hh;
  w_hh.template load<false>(slots, [&](int gate, int u, int k) {
    const int unit = first_unit + u;
    return unit < H && k < H ? args.w_hh[(gate * H + unit) * H + k] : 0.0f;
  });
  const auto b_hh = [&](int unit) { return traits(kCell).recurrent_bias && unit < H ? args.b_hh[unit] : 0.0f; };
  const float bias[2] = {b_hh(first_unit + tile_unit(0)), b_hh(first_unit + tile_unit(2))};

  for (int first = static_cast<int>(blockIdx.x) * kTileRows; first < args.batch;
       first += static_cast<int>(gridDim.x) * kTileRows) {
    const TileRows rows(args.lengths, first, args.batch);
    const Pairs own(rows, H, args.batch);
    NextRows next{args.row_of, rows, args.steps};
    const auto fetch = [&](int t) {  // step t, whose rows were read a step ago
#pragma unroll
      for (int p = 0; p < kPairs; ++p) {
        if (!own.has_step(t, p)) continue;
        const float* const from = args.input + static_cast<unsigned>(next.next[p % 2] * kGates * H + own.unit(p));
#pragma unroll
        for (int g = 0; g < kGates; ++g) cp_async_4(&inputs.at(g, p), from + g * H);
      }
      cp_async_commit();
      next.read(t + 1);
    };
    next.read(0);
    fetch(0);
    float h[kPairs], c[kPairs];
#pragma unroll
    for (int p = 0; p < kPairs; ++p) {
      const unsigned i = own.at(0, p, H);
      h[p] = own.valid(p) ? args.h[i] : 0.0f;
      c[p] = kCell == Cell::kLstm && args.initial_c != nullptr && own.valid(p) ? args.initial_c[i] : 0.0f;
      states[0][tile_row(p)][own.unit(p)] = __float2half_rn(h[p]);
    }
    __syncthreads();
#pragma unroll 1
    for (int t = 0; t < rows.longest; ++t) {
      typename Matrix::Results products;
      w_hh.times(states[t % 2], products);
      cp_async_wait<0>();
#pragma unroll
      for (int p = 0; p < kPairs; ++p) {
        float gates[4], next_c = c[p];
#pragma unroll
        for (int g = 0; g < 4; ++g) {
          const int from = g < kGates ? g : kGates - 1;  // see gate_value()
          gates[g] = gate_value_approx<kCell>(g, products[from][p], inputs.at(from, p), bias[p / 2]);
        }
        const float next_h = next_gated_state<kCell, false>(gates, h[p], next_c);
        const bool active = own.has_step(t, p);  // selected afterwards, so that pairs run side by side
        h[p] = active ? next_h : h[p];
        c[p] = active ? next_c : c[p];
        if (active) args.h[own.at(t + 1, p, H)] = next_h;
        if (active && args.saved != nullptr) {
          float* const saved = args.saved + own.at(t, p, kSaved * H);
#pragma unroll
          for (int g = 0; g < 4; ++g) saved[g * H] = gates[g];
          if (kCell == Cell::kLstm) saved[4 * H] = next_c;
        }
        states[(t + 1) % 2][tile_row(p)][own.unit(p)] = __float2half_rn(h[p]);  // carried over unless the row goes on
      }
      fetch(t + 1);
      __syncthreads();
    }
#pragma unroll
    for (int p = 0; p < kPairs; ++p) {
      if (kCell == Cell::kLstm && args.final_c != nullptr && own.valid(p)) args.final_c[own.at(0, p, H)] = c[p];
    }
  }
}

template <int kHidden, Cell kCell>
__global__ void __launch_bounds__(kThreads<kHidden>) rnn_backward_tensor_core_gated_kernel(RnnStepsBackwardArgs args) {
  constexpr int kGates = traits(kCell).gates, kSaved = traits(kCell).saved;
  constexpr bool kCarriesC = kCell == Cell::kLstm;
  using Matrix = TensorCoreTiles<1, kGates * kHidden, 2, __nv_bfloat16>;
  constexpr int kBefore = 4, kAbove = 5, kValues = 6;  // beside what was saved, but c: c (LSTM) or h (GRU) before the
                                                       // step, and what a layer above adds
  using Step = OwnSlots<kHidden, kValues>;
  REEL_SHARED(typename Matrix::Vectors[2], gradients);
  REEL_SHARED(typename Step::Slots, slots);
  const Step step{slots};
  const RnnBackwardArgs& all = args.all;
  const StepGradientArgs& single = args.single;
  const int H = all.hidden, first_unit = static_cast<int>(threadIdx.x) / 32 * kTileUnits;
  static_assert(sizeof(slots) >= kThreads<kHidden> / 32 * sizeof(typename Matrix::Staging));
  Matrix w_hh;
  w_hh.template load<true>(slots, [&](int, int u, int k) {
    const int unit = first_unit + u, gate = k / kHidden, from = k % kHidden;
    return unit < H && from < H ? all.w_hh[(gate * H + from) * H + unit] : 0.0f;
  });

  for (int first = static_cast<int>(blockIdx.x) * kTileRows; first < all.batch;
       first += static_cast<int>(gridDim.x) * kTileRows) {
    const TileRows rows(all.lengths, first, all.batch);
    const Pairs own(rows, H, all.batch);
    NextRows above{single.row_of, rows, all.steps};
    const auto read_above = [&](int t) {
      if (single.above != nullptr) above.read(t);
    };
    const auto fetch = [&](int t) {  // step t, whose rows above were read a step ago
#pragma unroll
      for (int p = 0; p < kPairs; ++p) {
        if (t < 0 || !own.has_step(t, p)) continue;
        const float* const from = all.saved + own.at(t, p, kSaved * H);
#pragma unroll
        for (int s = 0; s < 4; ++s) cp_async_4(&step.at(s, p), from + s * H);
        if (!kCarriesC) {
          cp_async_4(&step.at(kBefore, p), all.h + own.at(t, p, H));
        } else if (t > 0) {
          cp_async_4(&step.at(kBefore, p), all.saved + own.at(t - 1, p, kSaved * H) + 4 * H);
        } else if (all.initial_c != nullptr) {
          cp_async_4(&step.at(kBefore, p), all.initial_c + own.at(0, p, H));
        } else {
          step.at(kBefore, p) = 0;
        }
        if (single.above != nullptr) {
          cp_async_4(&step.at(kAbove, p), single.above + static_cast<std::size_t>(above.next[p % 2]) * single.width +
                                              single.column + own.unit(p));
        }
      }
      cp_async_commit();
      read_above(t - 1);
    };
    read_above(rows.longest - 1);
    fetch(rows.longest - 1);
    float c[kPairs] = {}, carry[kPairs] = {}, every[kPairs], last[kPairs], maximum[kPairs] = {};
    int argmax[kPairs];
#pragma unroll
    for (int p = 0; p < kPairs; ++p) {
      every[p] = own.valid(p) ? all.d_output.every_at(own.at(0, p, H)) : 0.0f;
      last[p] = own.valid(p) ? all.d_output.last_at(own.at(0, p, H)) : 0.0f;
      if (kCarriesC && own.has_step(0, p)) c[p] = all.saved[own.at(rows.length[p % 2] - 1, p, kSaved * H) + 4 * H];
      argmax[p] = -1;
      if (single.maximum != nullptr && own.valid(p)) {
        maximum[p] = single.maximum[own.at(0, p, H)];
        argmax[p] = single.argmax[own.at(0, p, H)];
      }
#pragma unroll 1
      for (int t = rows.longest; t < all.steps && own.valid(p); ++t) {
        const unsigned to = own.at(t, p, kGates * H);
#pragma unroll
        for (int g = 0; g < kGates; ++g) {
          all.d_input[to + static_cast<unsigned>(g * H)] = 0;
          if (traits(kCell).recurrent_bias) all.d_recurrent[to + static_cast<unsigned>(g * H)] = 0;
        }
      }
    }
    typename Matrix::Results sums = {};
#pragma unroll 1
    for (int t = rows.longest - 1; t >= 0; --t) {
      cp_async_wait<0>();
#pragma unroll
      for (int p = 0; p < kPairs; ++p) {
        float d_h = sums[0][p] + every[p], saved[kSaved], next_carry = carry[p];
        if (single.above != nullptr) d_h += step.at(kAbove, p);
        d_h += t == argmax[p] ? maximum[p] : 0.0f;
        d_h += t == rows.length[p % 2] - 1 ? last[p] : 0.0f;
#pragma unroll
        for (int s = 0; s < 4; ++s) saved[s] = step.at(s, p);
        const float before = step.at(kBefore, p);
        if constexpr (kCarriesC) saved[4] = c[p];
        const GateGradients d = gate_gradients<kCell, false>(saved, before, d_h, next_carry);
        const bool active = own.has_step(t, p);
        carry[p] = active ? next_carry : 0.0f;
        if (kCarriesC) c[p] = active ? before : c[p];
        const unsigned to = own.at(t, p, kGates * H);
#pragma unroll
        for (int g = 0; g < kGates; ++g) {
          const float d_input = active ? d.d_input[g] : 0.0f, d_recurrent = active ? d.recurrent<kCell>(g) : 0.0f;
          round_to(d_recurrent, gradients[t % 2][tile_row(p)][g * kHidden + own.unit(p)]);
          if (!own.valid(p)) continue;
          all.d_input[to + static_cast<unsigned>(g * H)] = d_input;
          if (traits(kCell).recurrent_bias) all.d_recurrent[to + static_cast<unsigned>(g * H)] = d_recurrent;
        }
      }
      fetch(t - 1);
      __syncthreads();
      if (t > 0) w_hh.times(gradients[t % 2], sums);
    }
  }
}

template <int kHidden, class Args>
void run(CudaContext& context, void (*kernel)(Args), std::int64_t batch, const Args& args) {
  const std::int64_t tiles = (batch + kTileRows - 1) / kTileRows;
  constexpr int kBlocks = kHidden <= 64 ? 2 : 1;  // of a multiprocessor
  const std::int64_t blocks = std::min<std::int64_t>(tiles, kBlocks * context.platform.limits().multiprocessors);
  launch(kernel,
         {.grid = dim3(static_cast<unsigned>(blocks)),
          .block = dim3(kThreads<kHidden>),
          .stream = context.platform.stream()},
         args);
}

}  // namespace

void rnn_forward_tensor_core_gated(CudaContext& context, const RecurrenceForward<float>& op) {
  with_width_and_gates(kWidths, op, [&](auto width, auto cell) {
    run<width()>(context, rnn_forward_tensor_core_gated_kernel<width(), cell()>, op.shape.batch, RnnForwardArgs(op));
  });
}

void rnn_backward_tensor_core_gated(CudaContext& context, const RecurrenceBackward<float>& op) {
  with_width_and_gates(kWidths, op, [&](auto width, auto cell) {
    run<width()>(context, rnn_backward_tensor_core_gated_kernel<width(), cell()>, op.shape.batch,
                 RnnStepsBackwardArgs(op));
  });
}

}  // namespace reel::cuda
