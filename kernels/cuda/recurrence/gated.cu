// The recurrence of cells of several gates and its back-propagation through time, each in one launch.
//
// W_hh of an LSTM has 256 KB at H = 128, which no block can keep in registers: the blocks of a cluster share the units
// (gated_matrix.cuh), and walk through batch rows together, one or kRows at a time, from their first tokens to the last
// of the longest.
//
// Forward, every block has the whole state in its own shared memory, double-buffered. The threads of a unit each end up
// with one gate's product, work out that gate, and tell each other; all then know the unit's next state, and each
// writes it to one of the cluster's blocks. One cluster barrier a step.
//
// Back, one thread of a unit works out what flows into its gates. A block multiplies those of its own units by its own
// rows of W_hh, and sends what that adds to the gradient of every other block's units: H numbers a step, where the
// gradients of the gates would be several times as many. The blocks' shares are added in their order, once the barrier
// of the step has been passed.
//
// As in resident.cu, what a thread alone reads is fetched kAhead steps early by cp.async, and steps after a row's end
// get gradients of 0. Where kBlocks is 1 the block is its own cluster.
#include <algorithm>
#include <limits>

#include "kernels/cuda/recurrence/arguments.cuh"
#include "kernels/cuda/recurrence/cells.cuh"
#include "kernels/cuda/recurrence/dispatch.h"
#include "kernels/cuda/recurrence/gated_matrix.cuh"
#include "kernels/cuda/recurrence/queues.cuh"
#include "kernels/cuda/recurrence/strategies.h"

namespace reel::cuda {
namespace {

constexpr Widths<64, 128, 256> kWidths;
constexpr int kAhead = 4;  // steps between fetching a value and using it

/// The barrier of a step, in two halves: what lies between them nobody waits for.
template <int kBlocks>
__device__ inline void arrive() {
  if constexpr (kBlocks > 1) cluster_arrive();
}
template <int kBlocks>
__device__ inline void wait() {
  if constexpr (kBlocks > 1) {
    cluster_wait();
  } else {
    __syncthreads();
  }
}
template <int kBlocks>
__device__ inline int rank() {
  return kBlocks > 1 ? static_cast<int>(cluster_rank()) : 0;
}
/// Writes to `element` of a block of the cluster.
template <int kBlocks>
__device__ inline void send(float& element, int block, float value) {
  if constexpr (kBlocks > 1) {
    store_to_cluster(map_to_block(&element, static_cast<unsigned>(block)), value);
  } else {
    element = value;
  }
}

/// Without indexing registers.
__device__ inline float pick(const float (&values)[4], int i) {
  return i == 0 ? values[0] : i == 1 ? values[1] : i == 2 ? values[2] : values[3];
}

template <int kHidden, Cell kCell, int kRows>
__global__ void __launch_bounds__(GatedShape<kHidden>::kThreads) rnn_forward_gated_kernel(RnnForwardArgs args) {
  using Shape = GatedShape<kHidden>;
  constexpr int kBlocks = Shape::kBlocks, kUnits = Shape::kUnits, kSlices = kHidden / Shape::kColumns;
  constexpr int kLanes = kSlices / kRows;  // of a unit and row
  constexpr int kGates = traits(kCell).gates, kSaved = traits(kCell).saved;
  static_assert(kLanes >= 4);
  if constexpr (kBlocks > 1 && !kClusters) return fail_without_clusters();
  REEL_SHARED(float[2][kRows][kHidden], states);
  REEL_SHARED(float[kAhead][Shape::kThreads], inputs);
  const int H = args.hidden, u = static_cast<int>(threadIdx.x) / kSlices;
  const int slice = static_cast<int>(threadIdx.x) % kSlices, gate = slice % 4;  // whose product this thread gets
  const int r = slice / 4 % kRows, lane = slice / (4 * kRows) * 4 + gate;       // of which row, as which of its lanes
  const int unit = rank<kBlocks>() * kUnits + u;
  SlicedMatrix<kSlices, Shape::kColumns / 4, kGates> w_hh;
  w_hh.load([&](int g, int c) { return unit < H && c < H ? args.w_hh[(g * H + unit) * H + c] : 0.0f; });
  const float b_hh = traits(kCell).recurrent_bias && unit < H ? args.b_hh[unit] : 0.0f;
  const int column = min(gate, kGates - 1) * H + unit;  // of GRU's input: see gate_value()
  const std::size_t step_size = static_cast<std::size_t>(args.batch) * H;
  const int stride = static_cast<int>(gridDim.x) / kBlocks * kRows;
  if constexpr (kBlocks > 1) {  // all have started
    cluster_arrive();
    cluster_wait();
  }

  for (int first = static_cast<int>(blockIdx.x) / kBlocks * kRows; first < args.batch; first += stride) {
    const int longest = longest_row<kRows>(args.lengths, first, args.batch);  // of those the cluster takes together
    const int b = first + r;
    const bool valid = unit < H && b < args.batch, owner = valid && slice == 4 * r;
    const std::size_t i = static_cast<std::size_t>(b) * H + unit;
    InputQueue<kAhead, Shape::kThreads> queue{args.row_of + static_cast<std::size_t>(b) * args.steps,
                                              args.input + column,
                                              inputs[0] + threadIdx.x,
                                              kGates * H,
                                              b < args.batch ? args.lengths[b] : 0,
                                              valid};
    queue.begin();
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      for (int j = static_cast<int>(threadIdx.x); j < kHidden; j += Shape::kThreads) {
        const bool there = j < H && first + k < args.batch;
        states[0][k][j] = there ? args.h[static_cast<std::size_t>(first + k) * H + j] : 0.0f;
      }
    }
    float c = kCell == Cell::kLstm && args.initial_c != nullptr && valid ? args.initial_c[i] : 0.0f;
    __syncthreads();
#pragma unroll 1
    for (int t = 0; t < longest; ++t) {
      float product;
      if constexpr (kRows == 1) {
        product = w_hh.times(states[t % 2][0]);
      } else {
        product = w_hh.times(states[t % 2][0], states[t % 2][1]);
      }
      float gates[4], next_c = c;
      gather_four(gate_value<kCell>(gate, product, queue.take(t), b_hh), gates);
      const float h = next_gated_state<kCell>(gates, states[t % 2][r][unit], next_c);
      const bool goes_on = kRows == 1 || t < queue.length;  // what a row that has ended leaves nobody reads
      if (goes_on) c = next_c;
#pragma unroll
      for (int to = lane; to < kBlocks; to += kLanes) send<kBlocks>(states[(t + 1) % 2][r][unit], to, h);
      arrive<kBlocks>();
      if (owner && goes_on) args.h[(t + 1) * step_size + i] = h;
      if (args.saved != nullptr && slice < 4 * kRows && valid && goes_on) {
        float* const saved = args.saved + (static_cast<std::size_t>(t) * args.batch + b) * kSaved * H + unit;
        saved[gate * H] = pick(gates, gate);
        if (kCell == Cell::kLstm && owner) saved[4 * H] = c;
      }
      queue.fetch(t + kAhead);
      wait<kBlocks>();
    }
    if (kCell == Cell::kLstm && args.final_c != nullptr && owner) args.final_c[i] = c;
  }
}

/// What one thread of a unit reads on the way back through a row, fetched ahead.
template <Cell kCell, int kOwners>
struct SavedQueue {
  static constexpr int kSaved = traits(kCell).saved;
  using Slots = float[kAhead][kSaved + 1][kOwners];  // what was saved; c (LSTM) or h (GRU) before the step

  const RnnBackwardArgs& args;
  Slots& slots;
  int b, unit, me;

  /// Of step t, as part of a group of copies.
  __device__ void fetch(int t) const {
    if (t < 0) return;
    const int H = args.hidden;
    const std::size_t step = static_cast<std::size_t>(t) * args.batch + b;
    const float* const saved = args.saved + step * kSaved * H + unit;
#pragma unroll
    for (int s = 0; s < kSaved; ++s) cp_async_4(&slot(t, s), saved + s * H);
    if (kCell == Cell::kGru) cp_async_4(&slot(t, kSaved), args.h + step * H + unit);
    if constexpr (kCell == Cell::kLstm) {
      if (t > 0) {
        cp_async_4(&slot(t, kSaved), saved - static_cast<std::size_t>(args.batch) * kSaved * H + 4 * H);
      } else if (args.initial_c != nullptr) {
        cp_async_4(&slot(0, kSaved), args.initial_c + static_cast<std::size_t>(b) * H + unit);
      } else {
        slot(0, kSaved) = 0;
      }
    }
  }
  __device__ float& slot(int t, int s) const { return slots[t % kAhead][s][me]; }
};

template <int kHidden, Cell kCell, int kRows>
__global__ void __launch_bounds__(GatedShape<kHidden>::kThreads) rnn_backward_gated_kernel(RnnStepsBackwardArgs args) {
  using Shape = GatedShape<kHidden>;
  constexpr int kBlocks = Shape::kBlocks, kUnits = Shape::kUnits, kSlices = 4 * kUnits / Shape::kColumns;
  constexpr int kOwners = kRows * kUnits;
  constexpr int kGates = traits(kCell).gates, kSaved = traits(kCell).saved;
  static_assert(kOwners <= Shape::kThreads);
  using Queue = SavedQueue<kCell, kOwners>;
  if constexpr (kBlocks > 1 && !kClusters) return fail_without_clusters();
  REEL_SHARED(float[kRows][kGates * kUnits], gradients);  // of this block's gates, on the side of W_hh
  REEL_SHARED(float[2][kRows][kBlocks][kUnits], shares);  // of the gradients of this block's units, by block
  REEL_SHARED(typename Queue::Slots, slots);
  REEL_SHARED(float[kAhead][kOwners], step_gradients);
  const RnnBackwardArgs& all = args.all;
  const int H = all.hidden, me = static_cast<int>(threadIdx.x), first_unit = rank<kBlocks>() * kUnits;
  const int u = me % kUnits, r = me / kUnits, unit = first_unit + u;  // where this thread works out gates
  const int target = me / kSlices * 4 + me % 4;                       // the unit to whose gradient it adds
  SlicedMatrix<kSlices, kGates * kUnits / 4 / kSlices, 4> w_hh;
  w_hh.load([&](int row, int c) {
    const int from = first_unit + c % kUnits, to = me / kSlices * 4 + row;
    return from < H && to < H ? all.w_hh[(c / kUnits * H + from) * H + to] : 0.0f;
  });
  const std::size_t width = static_cast<std::size_t>(kGates) * H;  // of d_input
  int buffer = 0;  // goes on from row to row: a slow block may still read the last row's buffer
  const int stride = static_cast<int>(gridDim.x) / kBlocks * kRows;
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    for (int i = me; i < kGates * kUnits; i += Shape::kThreads) gradients[k][i] = 0;  // from H on for good
  }
  if constexpr (kBlocks > 1) {  // all have started
    cluster_arrive();
    cluster_wait();
  } else {
    __syncthreads();
  }

  for (int first = static_cast<int>(blockIdx.x) / kBlocks * kRows; first < all.batch; first += stride) {
    const int longest = longest_row<kRows>(all.lengths, first, all.batch);
    const int b = first + r;
    const bool owner = me < kOwners && unit < H && b < all.batch;
    const std::size_t i = static_cast<std::size_t>(b) * H + unit;
    const int length = owner ? all.lengths[b] : 0;
    const Queue queue{all, slots, b, unit, me};
    StepGradientQueue<kAhead, kOwners> single(args.single, b, unit, all.steps, H, owner, step_gradients[0] + me);
    const auto has = [&](int t) { return kRows > 1 ? t < length : owner; };  // alone, a row is as long as its group
    const auto read_row = [&](int t) {
      if (has(t)) single.read_row(t);
    };
    const auto fetch = [&](int t) {
      if (has(t)) {
        queue.fetch(t);
        single.fetch(t);
      }
      cp_async_commit();
    };
    for (int t = longest - 1; t > longest - 1 - kAhead; --t) {
      read_row(t);
      fetch(t);
    }
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (first + k >= all.batch) continue;
      for (int t = all.lengths[first + k]; t < all.steps; ++t) {
        for (int g = me; g < kGates * kUnits; g += Shape::kThreads) {
          const int j = first_unit + g % kUnits;
          if (j >= H) continue;
          const std::size_t to = (static_cast<std::size_t>(t) * all.batch + first + k) * width + g / kUnits * H + j;
          all.d_input[to] = 0;
          if (traits(kCell).recurrent_bias) all.d_recurrent[to] = 0;
        }
      }
    }
    const float every = owner ? all.d_output.every_at(i) : 0.0f, last = owner ? all.d_output.last_at(i) : 0.0f;
    float carry = 0;
#pragma unroll 1
    for (int t = longest - 1; t >= 0; --t) {
      read_row(t - kAhead);
      cp_async_wait<kAhead - 1>();
      GateGradients d{};
      const bool active = has(t);
      if (active) {
        float d_h = every;
        if (t == length - 1) {
          d_h += last;
        } else {
#pragma unroll
          for (int block = 0; block < kBlocks; ++block) d_h += shares[buffer][r][block][u];
        }
        d_h += single.take(t);
        float saved[kSaved];
#pragma unroll
        for (int s = 0; s < kSaved; ++s) saved[s] = queue.slot(t, s);
        d = gate_gradients<kCell>(saved, queue.slot(t, kSaved), d_h, carry);
#pragma unroll
        for (int g = 0; g < kGates; ++g) gradients[r][g * kUnits + u] = d.recurrent<kCell>(g);
      }  // what stands there of a row that has not begun adds to shares that nobody reads
      const auto store_and_fetch = [&] {
        const std::size_t to = (static_cast<std::size_t>(t) * all.batch + b) * width + unit;
#pragma unroll
        for (int g = 0; g < kGates && active; ++g) {
          all.d_input[to + g * H] = d.d_input[g];
          if (traits(kCell).recurrent_bias) all.d_recurrent[to + g * H] = d.recurrent<kCell>(g);
        }
        fetch(t - kAhead);
      };
      if constexpr (kBlocks == 1) store_and_fetch();
      __syncthreads();
      if (t > 0) {
        buffer ^= 1;
#pragma unroll
        for (int k = 0; k < kRows; ++k) {
          const float share = w_hh.times(gradients[k]);
          if (w_hh.slice() < 4) {
            send<kBlocks>(shares[buffer][k][rank<kBlocks>()][target % kUnits], target / kUnits, share);
          }
        }
        arrive<kBlocks>();
      }
      if constexpr (kBlocks > 1) store_and_fetch();  // for these the barrier's release does not wait
      if (t > 0) wait<kBlocks>();
    }
  }
}

template <int kHidden>
Launch launch_of(const CudaContext& context, int clusters) {
  using Shape = GatedShape<kHidden>;
  return {.grid = dim3(static_cast<unsigned>(clusters * Shape::kBlocks)),
          .block = dim3(Shape::kThreads),
          .stream = context.platform.stream(),
          .cluster = Shape::kBlocks};
}

/// kernel(rows): the one that takes `rows` at a time, a std::integral_constant; more than one only where one each would
/// take the clusters a second turn.
template <int kHidden, class Kernel, class Args>
void run(CudaContext& context, const Kernel& kernel, std::int64_t batch, const Args& args) {
  const std::int64_t capacity = gated_capacity(context, kHidden);
  const auto launch_with = [&](auto rows) {
    launch(kernel(rows),
           launch_of<kHidden>(context, static_cast<int>(std::min((batch + rows() - 1) / rows(), capacity))), args);
  };
  constexpr int kMostRows = GatedShape<kHidden>::kRows;
  if (batch <= capacity) return launch_with(std::integral_constant<int, 1>());
  launch_with(std::integral_constant<int, kMostRows>());
}

/// The fewest of all kernels of this width.
template <int kHidden>
int ask_capacity(const CudaContext& context) {
  const Launch one = launch_of<kHidden>(context, 1);
  int fewest = std::numeric_limits<int>::max();
  for (const CellTraits& row : kCells) {
    with_gated_cell(row.cell, [&](auto cell) {
      const auto ask = [&](auto rows) {
        constexpr int kRows = decltype(rows)::value;
        fewest = std::min({fewest, max_active_clusters(rnn_forward_gated_kernel<kHidden, cell(), kRows>, one),
                           max_active_clusters(rnn_backward_gated_kernel<kHidden, cell(), kRows>, one)});
      };
      ask(std::integral_constant<int, 1>());
      if constexpr (GatedShape<kHidden>::kRows > 1) ask(std::integral_constant<int, GatedShape<kHidden>::kRows>());
    });
  }
  return fewest;
}

}  // namespace

int gated_capacity(const CudaContext& context, std::int64_t hidden) {
  const DeviceLimits& limits = context.platform.limits();
  return with_width(kWidths, hidden, [&](auto width) {
    if constexpr (GatedShape<width()>::kBlocks == 1) {
      return 2 * limits.multiprocessors;
    } else {
      if (!limits.clusters) return 0;
      std::optional<int>& known = context.gated_capacities[width() > 128 ? 1 : 0];
      if (!known) known = ask_capacity<width()>(context);
      return *known;
    }
  });
}

int gated_rows(std::int64_t hidden) {
  return with_width(kWidths, hidden, [](auto width) { return GatedShape<width()>::kRows; });
}

void rnn_forward_gated(CudaContext& context, const RecurrenceForward<float>& op) {
  with_width_and_gates(kWidths, op, [&](auto width, auto cell) {
    const auto kernel = [](auto rows) {
      return rnn_forward_gated_kernel<decltype(width)::value, decltype(cell)::value, decltype(rows)::value>;
    };
    run<width()>(context, kernel, op.shape.batch, RnnForwardArgs(op));
  });
}

void rnn_backward_gated(CudaContext& context, const RecurrenceBackward<float>& op) {
  with_width_and_gates(kWidths, op, [&](auto width, auto cell) {
    const auto kernel = [](auto rows) {
      return rnn_backward_gated_kernel<decltype(width)::value, decltype(cell)::value, decltype(rows)::value>;
    };
    run<width()>(context, kernel, op.shape.batch, RnnStepsBackwardArgs(op));
  });
}

}  // namespace reel::cuda
