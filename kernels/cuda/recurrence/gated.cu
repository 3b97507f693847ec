// The recurrence of cells of several gates and its back-propagation through time, each in one launch.
//
// W_hh of an LSTM has 256 KB at H = 128, which no block can keep in registers: the blocks of a cluster share the units
// (gated_matrix.cuh), and walk through batch rows together, one or kRows at a time, from their first tokens to the last
// of the longest, the longest rows first.
//
// Forward, every block has the whole state in its own shared memory, double-buffered. The threads of a unit each end up
// with one gate's product, work out that gate, and tell each other; all then know the unit's next state, and each
// sends it to one of the cluster's blocks, which count what they get (step_exchange.cuh).
//
// Back, one thread of a unit works out what flows into its gates. A block multiplies those of its own units by its own
// rows of W_hh, and sends what that adds to the gradient of every other block's units: H numbers a step, where the
// gradients of the gates would be several times as many. The blocks' shares are added in their order, once all are
// there. Gradients of gates are double-buffered too: a block may have got all it gets while some of its warps, which
// add to others, still read them.
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
#include "kernels/cuda/recurrence/step_exchange.cuh"
#include "kernels/cuda/recurrence/strategies.h"

namespace reel::cuda {
namespace {

constexpr Widths<64, 128, 256> kWidths;
constexpr int kAhead = 4;  // steps between fetching a value and using it

template <int kHidden, Cell kCell, int kRows>
__global__ void __launch_bounds__(GatedShape<kHidden>::kThreads, GatedShape<kHidden>::kResident)
    rnn_forward_gated_kernel(RnnForwardArgs args) {
  using Shape = GatedShape<kHidden>;
  constexpr int kBlocks = Shape::kBlocks, kUnits = Shape::kUnits, kSlices = kHidden / Shape::kColumns;
  constexpr int kLanes = kSlices / kRows;  // of a unit and row
  constexpr int kGates = traits(kCell).gates, kSaved = traits(kCell).saved;
  static_assert(kLanes >= 4);
  if constexpr (kBlocks > 1 && !kClusters) return fail_without_clusters();
  using Exchange = StepExchange<kBlocks>;
  constexpr int kStepBytes = kRows * kHidden * static_cast<int>(sizeof(float));  // that a block gets
  REEL_SHARED(float[2][kRows][kHidden], states);
  REEL_SHARED(typename Exchange::Barriers, arrived);
  REEL_SHARED(float[kAhead][Shape::kThreads], inputs);
  using Matrix = SlicedMatrix<kSlices, Shape::kColumns / 4, kGates>;
  const int H = args.hidden, u = static_cast<int>(threadIdx.x) / kSlices;
  const int slice = Matrix::slice(), gate = slice % 4;                     // whose product this thread gets
  const int r = slice / 4 % kRows, lane = slice / (4 * kRows) * 4 + gate;  // of which row, as which of its lanes
  const int unit = Exchange::rank() * kUnits + u;
  Matrix w_hh;
  w_hh.load([&](int g, int c) { return unit < H && c < H ? args.w_hh[(g * H + unit) * H + c] : 0.0f; });
  const float b_hh = traits(kCell).recurrent_bias && unit < H ? args.b_hh[unit] : 0.0f;
  const int column = min(gate, kGates - 1) * H + unit;  // of GRU's input: see gate_value()
  unsigned step_size = static_cast<unsigned>(args.batch * H);
  keep(step_size);
  const int stride = static_cast<int>(gridDim.x) / kBlocks * kRows;
  constexpr int kTargets = (kBlocks + kLanes - 1) / kLanes;  // blocks that a thread writes to, at most
  constexpr int kRowBytes = sizeof states[0][0];
  Exchange exchange(arrived);
  SharedAddress read = Matrix::part(states[0][r]);
  int other = sizeof states[0];  // from the buffer that is read to the one that is filled; goes on from row to row
  typename Exchange::Target targets[kTargets];
#pragma unroll
  for (int k = 0; k < kTargets; ++k) {
    targets[k] = exchange.target(states[1][r][unit], min(lane + k * kLanes, kBlocks - 1));
  }

  for (int first = static_cast<int>(blockIdx.x) / kBlocks * kRows; first < args.batch; first += stride) {
    const int end = min(first + kRows, args.batch);  // of those the cluster takes together
    const int longest = longest_row(args.lengths, args.order, first, end);
    const bool exists = first + r < end;
    const int b = args.order[exists ? first + r : first];
    const bool valid = unit < H && exists, owner = valid && slice == 4 * r;
    const bool saves = args.saved != nullptr && slice < 4 * kRows && valid;
    const int i = b * H + unit;
    InputQueue<kAhead, Shape::kThreads> queue{args.row_of + static_cast<std::size_t>(b) * args.steps,
                                              args.input + column,
                                              SlotRing<kAhead, Shape::kThreads>(inputs[0] + threadIdx.x),
                                              kGates * H * static_cast<int>(sizeof(float)),
                                              exists ? args.lengths[b] : 0,
                                              valid};
    queue.begin(kAhead);
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      const bool is_row = first + k < end;
      const float* const state = args.h + static_cast<std::size_t>(args.order[is_row ? first + k : first]) * H;
      for (int j = static_cast<int>(threadIdx.x); j < kHidden; j += Shape::kThreads) {
        states[other > 0 ? 0 : 1][k][j] = is_row && j < H ? state[j] : 0.0f;
      }
    }
    float h = valid ? args.h[i] : 0.0f, c = 0;
    if (kCell == Cell::kLstm && args.initial_c != nullptr && valid) c = args.initial_c[i];
    float* next_h = args.h + step_size + i;                                          // of this step
    float* saved = saves ? args.saved + b * kSaved * H + gate * H + unit : nullptr;  // its gate's
    __syncthreads();
#pragma unroll 1
    for (int t = 0; t < longest; ++t) {
      float input, product;
      const auto take = [&] {
        input = queue.take();
        queue.fetch(t + kAhead);
      };
      if constexpr (kRows == 1) {
        product = w_hh.times(read, take);
      } else {
        product = w_hh.times(read, read + (r == 0 ? kRowBytes : -kRowBytes), take);
      }
      float own_gate = gate_value<kCell>(gate, product, input, b_hh), gates[4], next_c = c;
      gather_four(own_gate, gates);
      h = next_gated_state<kCell>(gates, h, next_c);
      if (kCell == Cell::kGru && gate >= 2) own_gate = gate == 2 ? gates[2] : gates[3];  // which have changed
      const bool goes_on = kRows == 1 || t < queue.length;  // what a row that has ended leaves nobody reads
      if (goes_on) c = next_c;
      if (kBlocks > 1) __syncwarp();  // all lanes of the unit have read the state
#pragma unroll
      for (int k = 0; k < kTargets; ++k) {
        if (lane + k * kLanes < kBlocks) exchange.send(targets[k], 0, h);
        exchange.turn(targets[k], -other);
      }
      if (owner && goes_on) *next_h = h;
      next_h += step_size;
      if (saves) {
        if (goes_on) {
          *saved = own_gate;
          if (kCell == Cell::kLstm && gate == 0) saved[4 * H] = c;
        }
        saved += step_size * kSaved;
      }
      read += other;
      other = -other;
      exchange.wait(kStepBytes);
    }
    if (kCell == Cell::kLstm && args.final_c != nullptr && owner) args.final_c[i] = c;
  }
  Exchange::finish();
}

/// What one thread of a unit reads on the way back through a row, fetched ahead.
template <Cell kCell, int kOwners>
struct SavedQueue {
  static constexpr int kSaved = traits(kCell).saved;
  static constexpr int kSlots = kSaved + 2;  // what was saved; c (LSTM) or h (GRU) before the step; a step's gradient
  using Slots = float[kAhead][kSlots][kOwners];

  const RnnBackwardArgs& args;
  SlotRing<kAhead, kSlots * kOwners> slots;  // of the step that is taken next, and then fetched to
  int b, unit;
  // Where what was saved, and the state before it, begin at the step that is fetched next. Below the first step they
  // wrap around, and nothing is fetched.
  unsigned saved, state;

  __device__ SavedQueue(const RnnBackwardArgs& all, const float* own_slots, int row, int j, int steps)
      : args(all),
        slots(own_slots),
        b(row),
        unit(j),
        saved(static_cast<unsigned>(((steps - 1) * all.batch + row) * kSaved * all.hidden + j)),
        state(static_cast<unsigned>(((steps - 1) * all.batch + row) * all.hidden + j)) {}

  /// Of step t, which comes before what was fetched last, as part of a group of copies.
  __device__ void fetch(int t) {
    const int H = args.hidden, step_size = args.batch * H;
#pragma unroll
    for (int s = 0; s < kSaved; ++s) cp_async_4(slot(s), args.saved + saved + s * H);
    if (kCell == Cell::kGru) cp_async_4(slot(kSaved), args.h + state);
    if constexpr (kCell == Cell::kLstm) {
      if (t > 0) {
        cp_async_4(slot(kSaved), args.saved + saved - step_size * kSaved + 4 * H);
      } else if (args.initial_c != nullptr) {
        cp_async_4(slot(kSaved), args.initial_c + state);  // at step 0 that of [B, H]
      } else {
        store_shared(slot(kSaved), 0);
      }
    }
  }
  __device__ void advance() {
    slots.advance();
    const auto step_size = static_cast<unsigned>(args.batch * args.hidden);
    saved -= step_size * kSaved;
    state -= step_size;
  }
  __device__ SharedAddress slot(int s) const { return slots.current + s * kOwners * static_cast<int>(sizeof(float)); }
};

template <int kHidden, Cell kCell, int kRows>
__global__ void __launch_bounds__(GatedShape<kHidden>::kThreads, GatedShape<kHidden>::kResident)
    rnn_backward_gated_kernel(RnnStepsBackwardArgs args) {
  using Shape = GatedShape<kHidden>;
  constexpr int kBlocks = Shape::kBlocks, kUnits = Shape::kUnits, kSlices = 4 * kUnits / Shape::kColumns;
  constexpr int kOwners = kRows * kUnits;
  constexpr int kGates = traits(kCell).gates, kSaved = traits(kCell).saved;
  static_assert(kOwners <= Shape::kThreads);
  using Matrix = SlicedMatrix<kSlices, kGates * kUnits / 4 / kSlices, 4>;
  using Queue = SavedQueue<kCell, kOwners>;
  if constexpr (kBlocks > 1 && !kClusters) return fail_without_clusters();
  using Exchange = StepExchange<kBlocks>;
  constexpr int kStepBytes = kRows * kHidden * static_cast<int>(sizeof(float));  // that a block gets
  constexpr int kBuffers = kBlocks > 1 ? 2 : 1;
  REEL_SHARED(float[kBuffers][kRows][kGates * kUnits], gradients);  // of this block's gates, on the side of W_hh
  REEL_SHARED(float[2][kRows][kBlocks][kUnits], shares);            // of the gradients of this block's units, by block
  REEL_SHARED(typename Exchange::Barriers, arrived);
  REEL_SHARED(typename Queue::Slots, slots);
  constexpr int kUnitBytes = sizeof shares[0][0][0], kRowBytes = sizeof gradients[0][0],
                kShareBytes = sizeof shares[0][0];
  const RnnBackwardArgs& all = args.all;
  const int H = all.hidden, me = static_cast<int>(threadIdx.x), first_unit = Exchange::rank() * kUnits;
  const int u = me % kUnits, r = me / kUnits, unit = first_unit + u;  // where this thread works out gates
  const int target = me / kSlices * 4 + me % 4;                       // the unit to whose gradient it adds
  Matrix w_hh;
  w_hh.load([&](int row, int c) {
    const int from = first_unit + c % kUnits, to = me / kSlices * 4 + row;
    return from < H && to < H ? all.w_hh[(c / kUnits * H + from) * H + to] : 0.0f;
  });
  const int width = kGates * H;  // of d_input
  const int stride = static_cast<int>(gridDim.x) / kBlocks * kRows;
#pragma unroll
  for (int k = 0; k < kBuffers * kRows; ++k) {
    for (int i = me; i < kGates * kUnits; i += Shape::kThreads)
      gradients[k / kRows][k % kRows][i] = 0;  // from H on for good
  }
  SharedAddress factors = Matrix::part(gradients[0][0]);
  const bool works = me < kOwners;  // out a unit's gates
  SharedAddress own_gradients = opaque_address(works ? &gradients[0][r][u] : gradients[0][0]);
  int other_gradients = (kBuffers - 1) * static_cast<int>(sizeof gradients[0]);
  SharedAddress own_shares = opaque_address(works ? &shares[0][r][0][u] : shares[0][0][0]);
  int other = sizeof shares[0];  // from the buffer that is read to the one that is filled; goes on from row to row
  Exchange exchange(arrived);
  auto their_share = exchange.target(shares[1][0][Exchange::rank()][target % kUnits], target / kUnits);

  for (int first = static_cast<int>(blockIdx.x) / kBlocks * kRows; first < all.batch; first += stride) {
    const int end = min(first + kRows, all.batch), longest = longest_row(all.lengths, all.order, first, end);
    const bool exists = first + r < end;
    const int b = all.order[exists ? first + r : first];
    const bool owner = works && unit < H && exists;
    const int i = b * H + unit;
    const int length = owner ? all.lengths[b] : 0;
    Queue queue(all, slots[0][0] + (works ? me : 0), b, unit, longest);
    StepGradientQueue single(args.single, b, unit, all.steps, H, owner);
    const auto has = [&](int t) { return kRows > 1 ? t < length : owner; };  // alone, a row is as long as its group
    const auto fetch = [&](int t) {
      if (t >= 0 && has(t)) {
        queue.fetch(t);
        single.fetch(t, queue.slot(kSaved + 1));
      }
      cp_async_commit();
      queue.advance();
    };
    const auto read_row = [&](int t) {
      if (has(t)) single.read_row(t);
    };
    for (int t = longest - 1; t > longest - 1 - kAhead; --t) {
      read_row(t);
      fetch(t);
    }
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (first + k >= end) continue;
      const int row = all.order[first + k];
      for (int t = all.lengths[row]; t < all.steps; ++t) {
        for (int g = me; g < kGates * kUnits; g += Shape::kThreads) {
          const int j = first_unit + g % kUnits;
          if (j >= H) continue;
          const int to = (t * all.batch + row) * width + g / kUnits * H + j;
          all.d_input[to] = 0;
          if (traits(kCell).recurrent_bias) all.d_recurrent[to] = 0;
        }
      }
    }
    const float every = owner ? all.d_output.every_at(i) : 0.0f, last = owner ? all.d_output.last_at(i) : 0.0f;
    float carry = 0, added = 0, before = 0, saved[kSaved] = {};
    const auto take = [&](int t) {
      cp_async_wait<kAhead - 1>();
      if (t < 0 || !has(t)) return;
      added = single.take(t, queue.slot(kSaved + 1));
#pragma unroll
      for (int s = 0; s < kSaved; ++s) saved[s] = load_shared(queue.slot(s));
      before = load_shared(queue.slot(kSaved));
    };
    take(longest - 1);
    int to = ((longest - 1) * all.batch + b) * width + unit;  // of d_input
#pragma unroll 1
    for (int t = longest - 1; t >= 0; --t) {
      GateGradients d{};
      const bool active = has(t);
      if (active) {
        float d_h = every;
        if (t == length - 1) {
          d_h += last;
        } else {
#pragma unroll
          for (int block = 0; block < kBlocks; ++block) d_h += load_shared(own_shares + block * kUnitBytes);
        }
        d_h += added;
        d = gate_gradients<kCell>(saved, before, d_h, carry);
#pragma unroll
        for (int g = 0; g < kGates; ++g) store_shared(own_gradients + g * kUnitBytes, d.recurrent<kCell>(g));
      }  // what stands there of a row that has not begun adds to shares that nobody reads
      __syncthreads();
      const auto store_and_fetch = [&] {
#pragma unroll
        for (int g = 0; g < kGates && active; ++g) {
          all.d_input[to + g * H] = d.d_input[g];
          if (traits(kCell).recurrent_bias) all.d_recurrent[to + g * H] = d.recurrent<kCell>(g);
        }
        to -= all.batch * width;
        fetch(t - kAhead);
        take(t - 1);
      };
      if (t == 0) {
        store_and_fetch();
        continue;
      }
#pragma unroll
      for (int k = 0; k < kRows; ++k) {
        const float share = w_hh.times(factors + k * kRowBytes, [&] {
          if (k == 0) read_row(t - kAhead);
          if (kBlocks == 1) store_and_fetch();
        });
        if (Matrix::slice() < 4) exchange.send(their_share, k * kShareBytes, share);
      }
      exchange.turn(their_share, -other);
      own_shares += other;
      other = -other;
      own_gradients += other_gradients;
      factors += other_gradients;
      other_gradients = -other_gradients;
      if constexpr (kBlocks > 1) store_and_fetch();
      exchange.wait(kStepBytes);
    }
  }
  Exchange::finish();
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
