// The recurrence of cells of several gates and its back-propagation through time on tensor cores, each in one launch
// (--precision mixed).
//
// As in tensor_core.cu a block walks through tiles of up to eight batch rows, states are rounded to fp16 and gradients
// to bfloat16 where they are multiplied (and in memory, where sequences are packed), a step's results are stored after
// its barrier, and what belongs to no row is computed like the rest. A warp has 16 units, and of them all gates.
// Forward it has a tile of W_hh for each gate, so that a thread ends up with the products of all gates of its two
// units. Back, where the vectors are the gates of all units, two warps share 32 units: each multiplies with one half of
// the vectors, its own tile of W_hh^T and the other's, so that each reads only half of them from shared memory; a
// second barrier, and the sums are exchanged.
//
// What a unit keeps from step to step stays in its thread's registers, in float32. What a thread reads of a step it
// fetches by cp.async: forward two steps early, since the compiler starts a copy only after the products, and what is
// left of a step is shorter than the way from memory; back one step early, where a step is long enough.
#include <type_traits>

#include "kernels/cuda/recurrence/arguments.cuh"
#include "kernels/cuda/recurrence/cells.cuh"
#include "kernels/cuda/recurrence/dispatch.h"
#include "kernels/cuda/recurrence/strategies.h"
#include "kernels/cuda/recurrence/tensor_core_matrix.cuh"
#include "kernels/error.h"

namespace reel::cuda {
namespace {

constexpr Widths<64, 128> kWidths;
constexpr int kUnits = 2;  // of a thread, adjacent
constexpr int kAhead = 2;  // steps between fetching a step's input and using it, forward
using Numbers = Adjacent<float, kUnits>;
using Pair = Adjacent<std::uint32_t, 1>;  // the same, rounded

template <int kHidden>
constexpr int kThreads = kHidden / kTileUnits * 32;

__device__ int own_unit() { return static_cast<int>(threadIdx.x) / 4 * kUnits; }
/// The unit of row u of the tile of a thread's warp.
__device__ int unit_of_row(int thread, int u) { return thread / 32 * kTileUnits + u % 8 * kUnits + u / 8; }

/// 1 / (1 + exp(-x)), within some 1e-7.
__device__ inline float sigmoid_fast(float x) {
  constexpr float kLog2E = 1.44269504f;
  return reciprocal_approx(1.0f + exp2_approx(__fmul_rn(-kLog2E, x)));
}

/// The number of gate `g` that next_gated_state() takes, from the sum of its input and its product; of GRU's m from the
/// product and its bias. Within what fp16 can tell, but for gate 1: how much is kept from step to step, where errors
/// add up.
template <Cell kCell>
__device__ inline float gate_of(int g, float sum) {
  if (g == 1) return sigmoid_fast(sum);
  if (g == 2) return kCell == Cell::kLstm ? tanh_approx(sum) : sum;
  return fmaf(0.5f, tanh_approx(__fmul_rn(0.5f, sum)), 0.5f);
}

template <int kHidden, Cell kCell, Moves kMoves>
__global__ void __launch_bounds__(kThreads<kHidden>, 1) rnn_forward_tensor_core_gated_kernel(RnnForwardArgs args) {
  constexpr int kGates = traits(kCell).gates, kSaved = traits(kCell).saved;
  constexpr bool kWhole = kMoves != Moves::kSingly;
  using State = NumberOf<__half, kMoves>;
  using Matrix = TensorCoreTiles<kGates, kHidden, 1, __half>;
  using Queue = StepQueue<kGates, kAhead, kThreads<kHidden>, kUnits, kWhole>;
  REEL_SHARED(typename Matrix::Vectors[2], states);
  REEL_SHARED(typename Queue::Slots, slots);
  REEL_SHARED(RowIndices::Ring, indices);
  static_assert(sizeof(slots) >= kThreads<kHidden> / 32 * sizeof(typename Matrix::Staging));
  Matrix w_hh;
  w_hh.template load<false>(slots, [&](int gate, int u, int k) {
    const int H = args.hidden, unit = unit_of_row(static_cast<int>(threadIdx.x), u);
    return unit < H && k < H ? args.w_hh[(gate * H + unit) * H + k] : 0.0f;
  });
  const OwnUnits<kUnits, kWhole> own(own_unit(), args.hidden);
  const float* input = args.input + own.first;
  const unsigned H = static_cast<unsigned>(args.hidden);
  unsigned step_size = static_cast<unsigned>(args.batch) * H;
  unsigned row_bytes = kGates * H * static_cast<unsigned>(sizeof(float));
  keep(input), keep(step_size), keep(row_bytes);
  VectorBuffers vectors(states, own_unit());
  Queue inputs(slots, own);
  Numbers bias{};
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    if (traits(kCell).recurrent_bias && u < own.count) bias.at[u] = args.b_hh[own.first + u];
  }

  const int tile = rows_of_tile(args.batch);
  for (int begin = static_cast<int>(blockIdx.x) * tile; begin < args.batch;
       begin += static_cast<int>(gridDim.x) * tile) {
    const int end = min(begin + tile, args.batch);
    const TileRows rows(args.lengths, begin, end, own.count > 0, args.order);
    const RowIndices input_rows(indices, args.row_of, args.lengths, begin, end, args.steps, args.order);
    __syncthreads();
    const auto fetch = [&](int t) {
      const Adjacent<std::int32_t, kOwnRows> row = input_rows.at(t);
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
        const float* const from = row_at(input, row.at[r], row_bytes);
#pragma unroll
        for (int g = 0; g < kGates; ++g) inputs.fetch(g, r, from + static_cast<unsigned>(g) * H);
      }
      input_rows.copy(t + kAhead + 1);
      inputs.commit();
    };
    Numbers x[kGates][kOwnRows];
    const auto take = [&] {
      inputs.wait();
#pragma unroll
      for (int i = 0; i < kGates * kOwnRows; ++i) {
        x[i / kOwnRows][i % kOwnRows] = inputs.oldest(i / kOwnRows, i % kOwnRows);
      }
    };
    for (int t = 0; t < kAhead; ++t) fetch(t);
    State* to_h[kOwnRows];
    float* to_saved[kOwnRows];
    const bool saves = args.saved != nullptr;
    unsigned at = 0;  // step t from the first, in h
    Numbers h[kOwnRows] = {}, c[kOwnRows] = {}, gates[4][kOwnRows] = {};
    Pair rounded[kOwnRows];
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      const auto row = static_cast<unsigned>(rows.row[r]), first = static_cast<unsigned>(own.first);
      to_h[r] = reinterpret_cast<State*>(args.h) + (row * H + first);
      to_saved[r] = saves ? args.saved + (row * kSaved * H + first) : nullptr;
      keep(to_h[r]);
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        if (u >= own.count || !rows.has(r)) continue;
        h[r].at[u] = static_cast<float>(to_h[r][u]);
        if (kCell == Cell::kLstm && args.initial_c != nullptr) {
          c[r].at[u] = args.initial_c[row * H + first + static_cast<unsigned>(u)];
        }
      }
      vectors.write(r, rounded[r] = Pair{pack_fp16(h[r].at[0], h[r].at[1])});
    }
    const auto store = [&](int t) {  // h[t], but for the one that was given, and what was saved before it
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
        if (static_cast<unsigned>(t - 1) >= static_cast<unsigned>(rows.length[r])) continue;
        own.store(to_h[r] + at, h[r], rounded[r]);
        if (!saves) continue;
        float* const saved = to_saved[r] + (at - step_size) * kSaved;
#pragma unroll
        for (int g = 0; g < 4; ++g) own.store(saved + static_cast<unsigned>(g) * H, gates[g][r]);
        if (kCell == Cell::kLstm) own.store(saved + 4 * H, c[r]);
      }
      at += step_size;
    };
    take();
    fetch(kAhead);
    __syncthreads();
#pragma unroll 1
    for (int t = 0; t < rows.longest; ++t) {
      typename Matrix::Fragments fragments;
      vectors.read(fragments);
      typename Matrix::Results sums;
#pragma unroll
      for (int i = 0; i < kOwnRows * kUnits; ++i) {
        const int r = i % kOwnRows, u = i / kOwnRows;
#pragma unroll
        for (int g = 0; g < kGates; ++g) {
          sums[g][i] = kCell == Cell::kGru && g == 2 ? bias.at[u] : x[g][r].at[u];
        }
      }
      const Numbers candidate[kOwnRows] = {x[2][0], x[2][1]};  // GRU's input of it
      store(t);
      take();
      fetch(t + kAhead + 1);
      w_hh.add_products(fragments, sums);
      vectors.swap();
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
#pragma unroll
        for (int u = 0; u < kUnits; ++u) {
          float values[4], next_c = c[r].at[u];
#pragma unroll
          for (int g = 0; g < 4; ++g) {
            values[g] = g < kGates ? gate_of<kCell>(g, sums[g < kGates ? g : 0][u * kOwnRows + r]) : candidate[r].at[u];
          }
          h[r].at[u] = next_gated_state<kCell, false>(values, h[r].at[u], next_c);
          c[r].at[u] = t < rows.length[r] ? next_c : c[r].at[u];
#pragma unroll
          for (int g = 0; g < 4; ++g) gates[g][r].at[u] = values[g];
        }
        vectors.write(r, rounded[r] = Pair{pack_fp16(h[r].at[0], h[r].at[1])});
      }
      __syncthreads();
    }
    store(rows.longest);
    cp_async_wait<0>();  // what was fetched beyond the last step
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      if (kCell != Cell::kLstm || args.final_c == nullptr || !rows.has(r)) continue;
      own.store(args.final_c + (static_cast<unsigned>(rows.row[r]) * H + static_cast<unsigned>(own.first)), c[r]);
    }
  }
}

/// kSteps: with what flows into single steps, which is left out otherwise.
template <int kHidden, Cell kCell, Moves kMoves, bool kSteps>
__global__ void __launch_bounds__(kThreads<kHidden>, 1)
    rnn_backward_tensor_core_gated_kernel(RnnStepsBackwardArgs args) {
  constexpr int kGates = traits(kCell).gates, kSaved = traits(kCell).saved;
  constexpr bool kWhole = kMoves != Moves::kSingly;
  constexpr bool kCarriesC = kCell == Cell::kLstm, kRecurrent = traits(kCell).recurrent_bias;
  using State = NumberOf<__half, kMoves>;
  using Gradient = NumberOf<__nv_bfloat16, kMoves>;
  using Before = std::conditional_t<kCarriesC, float, State>;
  constexpr int kBefore = 4, kAbove = 5;  // numbers beside what was saved, but c: c (LSTM) or h (GRU) before the step,
                                          // and what a layer above adds
  constexpr int kDepth = kGates * kHidden / 2, kHalf = kThreads<kHidden> / 2;
  using Matrix = TensorCoreTiles<2, kDepth, (kHidden > 64 ? 1 : 2), __nv_bfloat16>;
  using Vectors = __nv_bfloat16[kTileRows][2 * kDepth + 8];
  using Sums = Adjacent<float, 4>;
  using Queue = StepQueue<kSteps ? 6 : 5, 1, kThreads<kHidden>, kUnits, kWhole>;
  REEL_SHARED(Vectors[2], gradients);
  REEL_SHARED(Sums[kThreads<kHidden>], partner_sums);
  REEL_SHARED(typename Queue::Slots, slots);
  const RnnBackwardArgs& all = args.all;
  const StepGradientArgs& single = args.single;
  static_assert(sizeof(slots) >= kThreads<kHidden> / 32 * sizeof(typename Matrix::Staging));
  Matrix w_hh;
  const int own_thread = static_cast<int>(threadIdx.x), partner = (own_thread + kHalf) % kThreads<kHidden>;
  const int first_k = own_thread / kHalf * kDepth;
  w_hh.template load<true>(slots, [&](int m, int u, int k) {
    const int H = all.hidden, unit = unit_of_row(m == 0 ? own_thread : partner, u);
    const int gate = (first_k + k) / kHidden, from = (first_k + k) % kHidden;
    return unit < H && from < H ? all.w_hh[(gate * H + from) * H + unit] : 0.0f;
  });
  const OwnUnits<kUnits, kWhole> own(own_unit(), all.hidden);
  const unsigned H = static_cast<unsigned>(all.hidden);
  unsigned step_size = static_cast<unsigned>(all.batch) * H;
  keep(step_size);
  VectorBuffers vectors(gradients, own_unit(), first_k);
  Queue step(slots, own);
  const bool has_above = kSteps && single.above != nullptr;

  const int tile = rows_of_tile(all.batch);
  for (int begin = static_cast<int>(blockIdx.x) * tile; begin < all.batch;
       begin += static_cast<int>(gridDim.x) * tile) {
    const TileRows rows(all.lengths, begin, min(begin + tile, all.batch), own.count > 0, all.order);
    const int last = rows.longest - 1;
    const auto first = static_cast<unsigned>(own.first);
    // After a row's end all that is read is 0, and nothing flows back: so are the products of both.
    const float* saved[kOwnRows];
    const State* h[kOwnRows];
    Gradient* d_input[kOwnRows];
    Gradient* d_recurrent[kOwnRows];
    int argmax[kOwnRows][kUnits], above_row[kOwnRows] = {};
    const auto index = [&](int r) { return static_cast<unsigned>(rows.row[r]) * H + first; };  // in [B, H]
    Numbers every[kOwnRows] = {}, at_last[kOwnRows] = {}, maximum[kOwnRows] = {}, c[kOwnRows] = {},
            carry[kOwnRows] = {};
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      const auto row = static_cast<unsigned>(rows.row[r]);
      saved[r] = all.saved + (row * kSaved * H + first);
      h[r] = reinterpret_cast<const State*>(all.h) + (row * H + first);
      d_input[r] = reinterpret_cast<Gradient*>(all.d_input) + (row * kGates * H + first);
      d_recurrent[r] = reinterpret_cast<Gradient*>(all.d_recurrent) + (row * kGates * H + first);
      keep(saved[r]), keep(d_input[r]);
      if (!kCarriesC) keep(h[r]);
      if (kRecurrent) keep(d_recurrent[r]);
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        argmax[r][u] = -1;
        if (u >= own.count || !rows.has(r)) continue;
        const unsigned j = index(r) + static_cast<unsigned>(u);
        every[r].at[u] = all.d_output.every_at(j);
        at_last[r].at[u] = every[r].at[u] + all.d_output.last_at(j);
        if (kCarriesC && last >= 0 && rows.length[r] == rows.longest) {  // others read it at the step after their last
          c[r].at[u] = saved[r][static_cast<unsigned>(last) * step_size * kSaved + 4 * H + static_cast<unsigned>(u)];
        }
        if (kSteps && single.maximum != nullptr) {
          maximum[r].at[u] = single.maximum[j];
          argmax[r][u] = single.argmax[j];
        }
      }
#pragma unroll 1
      for (int t = rows.longest; t < all.steps && rows.has(r); ++t) {
        const unsigned to = static_cast<unsigned>(t) * step_size * kGates;
#pragma unroll
        for (unsigned g = 0; g < kGates; ++g) {
          own.store(d_input[r] + (to + g * H), Numbers{}, Pair{});
          if (kRecurrent) own.store(d_recurrent[r] + (to + g * H), Numbers{}, Pair{});
        }
      }
    }
    const auto read_above_rows = [&](int t) {
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
        if (has_above && t >= 0 && t < rows.length[r]) {
          above_row[r] = single.row_of[static_cast<std::size_t>(rows.row[r]) * static_cast<unsigned>(all.steps) +
                                       static_cast<unsigned>(t)];
        }
      }
    };
    const auto fetch = [&](int t) {  // step t, whose rows above were read a step ago
      if (t < 0) return;
      const unsigned at = static_cast<unsigned>(t) * step_size;
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
        const bool exists = t < rows.length[r];
#pragma unroll
        for (unsigned s = 0; s < 4; ++s) {
          step.fetch_if(exists, static_cast<int>(s), r, saved[r] + (at * kSaved + s * H));
        }
        if (!kCarriesC) {
          step.fetch_if(exists, kBefore, r, h[r] + at);
        } else if (t > 0) {
          step.fetch_if(t <= rows.length[r], kBefore, r, saved[r] + ((at - step_size) * kSaved + 4 * H));
        } else {
          const bool begins = all.initial_c != nullptr && rows.has(r);
          step.fetch_if(begins, kBefore, r, begins ? all.initial_c + index(r) : saved[r]);
        }
        if (has_above) {
          step.fetch_if(exists, kAbove, r,
                        single.above + static_cast<std::size_t>(above_row[r]) * static_cast<unsigned>(single.width) +
                            (static_cast<unsigned>(single.column) + first));
        }
      }
      step.commit();
      read_above_rows(t - 1);
    };
    Numbers values[6][kOwnRows];
    typename Matrix::Results sums;
    const auto begin_sums = [&](int t) {  // with what flows into step t beside the product
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
#pragma unroll
        for (int u = 0; u < kUnits; ++u) {
          float d_h = t == rows.length[r] - 1 ? at_last[r].at[u] : every[r].at[u];
          if (kSteps) d_h += t == argmax[r][u] ? maximum[r].at[u] : 0.0f;
          sums[0][u * kOwnRows + r] = t < rows.length[r] ? d_h : 0.0f;
          sums[1][u * kOwnRows + r] = 0;
        }
      }
    };
    const auto take = [&] {
      step.wait();
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
#pragma unroll
        for (int s = 0; s < 4; ++s) values[s][r] = step.oldest(s, r);
        const auto before = step.template oldest<Before>(kBefore, r);
#pragma unroll
        for (int u = 0; u < kUnits; ++u) values[kBefore][r].at[u] = static_cast<float>(before.at[u]);
        if (!has_above) continue;
        const Numbers above = step.oldest(kAbove, r);
#pragma unroll
        for (int u = 0; u < kUnits; ++u) sums[0][u * kOwnRows + r] += above.at[u];
      }
    };
    read_above_rows(last);
    fetch(last);
    begin_sums(last);
    take();
    fetch(last - 1);
    unsigned to = static_cast<unsigned>(last) * step_size * kGates;
#pragma unroll 1
    for (int t = last; t >= 0; --t) {
      Numbers d_in[kGates][kOwnRows], d_rec[kOwnRows];
      Pair rounded_in[kGates][kOwnRows], rounded_rec[kGates][kOwnRows];
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
#pragma unroll
        for (int u = 0; u < kUnits; ++u) {
          float numbers[kSaved];
#pragma unroll
          for (int s = 0; s < 4; ++s) numbers[s] = values[s][r].at[u];
          const float previous = values[kBefore][r].at[u];
          if constexpr (kCarriesC) numbers[4] = c[r].at[u];
          const GateGradients d = gate_gradients<kCell, false>(
              numbers, !kCarriesC || t < rows.length[r] ? previous : 0.0f, sums[0][u * kOwnRows + r], carry[r].at[u]);
          if (kCarriesC) c[r].at[u] = previous;
#pragma unroll
          for (int g = 0; g < kGates; ++g) d_in[g][r].at[u] = d.d_input[g];
          d_rec[r].at[u] = d.template recurrent<kCell>(kGates - 1);
        }
#pragma unroll
        for (int g = 0; g < kGates; ++g) {
          rounded_in[g][r] = Pair{pack_bf16(d_in[g][r].at[0], d_in[g][r].at[1])};
          rounded_rec[g][r] =
              g < kGates - 1 || !kRecurrent ? rounded_in[g][r] : Pair{pack_bf16(d_rec[r].at[0], d_rec[r].at[1])};
          vectors.write(r, rounded_rec[g][r], g * kHidden);
        }
      }
      __syncthreads();
      typename Matrix::Fragments fragments;
      vectors.read(fragments);
      vectors.swap();
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
        if (!rows.has(r)) continue;
#pragma unroll
        for (unsigned g = 0; g < kGates; ++g) {
          own.store(d_input[r] + (to + g * H), d_in[g][r], rounded_in[g][r]);
          if (!kRecurrent) continue;
          own.store(d_recurrent[r] + (to + g * H), g == kGates - 1 ? d_rec[r] : d_in[g][r], rounded_rec[g][r]);
        }
      }
      to -= step_size * kGates;
      if (t == 0) break;
      begin_sums(t - 1);
      w_hh.add_products(fragments, sums);
      partner_sums[partner] = Sums{sums[1][0], sums[1][1], sums[1][2], sums[1][3]};
      take();
      fetch(t - 2);
      __syncthreads();
      const Sums others = partner_sums[own_thread];
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[0][e] += others.at[e];
    }
  }
}

template <int kHidden, class Args>
void run(CudaContext& context, void (*kernel)(Args), std::int64_t batch, const Args& args) {
  constexpr int kBlocks = kHidden <= 64 ? 2 : 1;  // of a multiprocessor
  launch(kernel,
         {.grid = dim3(blocks_of_batch(static_cast<int>(batch), context.platform.limits().multiprocessors, kBlocks)),
          .block = dim3(kThreads<kHidden>),
          .stream = context.platform.stream()},
         args);
}

}  // namespace

void rnn_forward_tensor_core_gated(CudaContext& context, const RecurrenceForward<float>& op) {
  const bool whole = can_move_units(kUnits, op.shape.hidden,
                                    {op.input.values.data(), op.h.data(), op.saved.data(), op.final_c.data()});
  with_width_and_gates(kWidths, op, [&](auto width, auto cell) {
    with_moves(op.packed, whole, [&](auto moves) {
      run<width()>(context, rnn_forward_tensor_core_gated_kernel<width(), cell(), moves()>, op.shape.batch,
                   RnnForwardArgs(op));
    });
  });
}

void rnn_backward_tensor_core_gated(CudaContext& context, const RecurrenceBackward<float>& op) {
  const IndexedRows<float>& above = op.d_output.above;
  const bool whole = above.width % kUnits == 0 && op.d_output.column % kUnits == 0 &&
                     can_move_units(kUnits, op.shape.hidden,
                                    {op.h.data(), op.saved.data(), op.initial_c.data(), op.d_input.data(),
                                     op.d_recurrent.data(), above.values.data()});
  const bool steps = op.d_output.has_steps();
  if (op.packed && steps) throw Error("tensor cores: packed sequences, and gradients of single steps");
  with_width_and_gates(kWidths, op, [&](auto width, auto cell) {
    const auto run_kernel = [&](auto kernel) {
      run<width()>(context, kernel, op.shape.batch, RnnStepsBackwardArgs(op));
    };
    with_moves(op.packed, whole, [&](auto moves) {
      constexpr Moves kMoves = moves();
      if constexpr (kMoves == Moves::kTogether) {
        if (steps) return run_kernel(rnn_backward_tensor_core_gated_kernel<width(), cell(), kMoves, true>);
      }
      run_kernel(rnn_backward_tensor_core_gated_kernel<width(), cell(), kMoves, kMoves == Moves::kSingly>);
    });
  });
}

}  // namespace reel::cuda
