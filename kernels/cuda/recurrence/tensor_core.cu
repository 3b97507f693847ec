// The recurrence and its back-propagation through time on tensor cores, each in one launch (--precision mixed).
//
// A block keeps W_hh (tensor_core_matrix.cuh) and walks through tiles of up to eight batch rows, each tile until its
// longest row ends. An instruction takes eight rows whether or not there are as many: a small batch is cut into tiles
// of fewer, so that all multiprocessors work and short rows wait for fewer long ones. Columns of the product that
// belong to no row, or to one that has ended, are computed like the others, and nothing of them is kept.
//
// States are rounded to fp16, since |h| <= 1, gradients to bfloat16, for its range; sums are float32. As in
// resident.cu, a thread fetches what it alone reads kAhead steps early, and there is one barrier a step. A step's
// result is stored after the barrier, while the next product waits for its operands; back, slopes are made of states
// then that were taken a step before, so that none waits behind the product.
#include <initializer_list>

#include "kernels/cuda/recurrence/arguments.cuh"
#include "kernels/cuda/recurrence/cells.cuh"
#include "kernels/cuda/recurrence/dispatch.h"
#include "kernels/cuda/recurrence/strategies.h"
#include "kernels/cuda/recurrence/tensor_core_matrix.cuh"
#include "kernels/error.h"

namespace reel::cuda {
namespace {

constexpr Widths<64, 128, 256> kWidths;
constexpr int kAhead = 4;  // steps between fetching a value and using it

/// W_hh, or its transpose, of up to kHidden units.
template <int kHidden, class Element>
struct TensorCoreMatrix : TensorCoreTiles<(kHidden > 64 ? 2 : 1), kHidden, 2, Element> {
  static constexpr int kTiles = kHidden > 64 ? 2 : 1, kThreads = 2 * kHidden / kTiles;
  static constexpr int kUnits = 2 * kTiles;  // of a thread
  using Numbers = Adjacent<float, kUnits>;
  using Rounded = Adjacent<std::uint32_t, kTiles>;
  using Results = typename TensorCoreTiles<kTiles, kHidden, 2, Element>::Results;

  __device__ static int first_unit() { return static_cast<int>(threadIdx.x) / 4 * kUnits; }
  __device__ static float& result(Results& results, int r, int u) { return results[u / 2][u % 2 * 2 + r]; }

  /// `matrix` [size, size], size <= kHidden, or its transpose; filled up with zeros. memory: as of load().
  template <bool kTransposed>
  __device__ void read(void* memory, const float* matrix, int size) {
    const int first = static_cast<int>(threadIdx.x) / 32 * kTileUnits * kTiles;
    this->template load<kTransposed>(memory, [&](int m, int u, int k) {
      const int row = first + u % 8 * kUnits + m * 2 + u / 8;
      return row < size && k < size ? matrix[kTransposed ? k * size + row : row * size + k] : 0.0f;
    });
  }

  __device__ static Numbers numbers(const Rounded& pairs) {
    Numbers numbers;
#pragma unroll
    for (int u = 0; u < kUnits; ++u) numbers.at[u] = unpack_fp16(pairs.at[u / 2], u % 2);
    return numbers;
  }
  __device__ static Rounded round(const Numbers& numbers) {
    Rounded pairs;
#pragma unroll
    for (int p = 0; p < kTiles; ++p) pairs.at[p] = pack(numbers.at[2 * p], numbers.at[2 * p + 1], Element());
    return pairs;
  }
};

template <int kHidden, Cell kCell, Moves kMoves>
__global__ void __launch_bounds__(TensorCoreMatrix<kHidden, __half>::kThreads, 1)
    rnn_forward_tensor_core_kernel(RnnForwardArgs args) {
  using Matrix = TensorCoreMatrix<kHidden, __half>;
  constexpr int kUnits = Matrix::kUnits;
  constexpr bool kWhole = kMoves != Moves::kSingly;
  using Queue = StepQueue<1, kAhead, Matrix::kThreads, kUnits, kWhole>;
  using Numbers = typename Matrix::Numbers;
  using State = NumberOf<__half, kMoves>;
  REEL_SHARED(typename Matrix::Vectors[2], states);
  REEL_SHARED(typename Queue::Slots, slots);
  REEL_SHARED(RowIndices::Ring, indices);
  static_assert(sizeof(slots) >= Matrix::kThreads / 32 * sizeof(typename Matrix::Staging));
  Matrix w_hh;
  w_hh.template read<false>(slots, args.w_hh, args.hidden);
  const OwnUnits<kUnits, kWhole> own(Matrix::first_unit(), args.hidden);
  const float* input = args.input + own.first;
  unsigned row_bytes = static_cast<unsigned>(args.hidden) * static_cast<unsigned>(sizeof(float));
  unsigned step_size = static_cast<unsigned>(args.batch * args.hidden);
  VectorBuffers vectors(states, Matrix::first_unit());
  keep(input), keep(row_bytes), keep(step_size);
  Queue inputs(slots, own);

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
      for (int r = 0; r < kOwnRows; ++r) inputs.fetch(0, r, row_at(input, row.at[r], row_bytes));
      input_rows.copy(t + kAhead + 1);
      inputs.commit();
    };
#pragma unroll 1
    for (int t = 0; t < kAhead; ++t) fetch(t);
    State* h[kOwnRows];  // of step 0
    unsigned at = 0;     // step t from there
    Numbers state[kOwnRows] = {}, x[kOwnRows];
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      h[r] = reinterpret_cast<State*>(args.h) + static_cast<unsigned>(rows.row[r] * args.hidden + own.first);
      keep(h[r]);
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        if (u < own.count && rows.has(r)) state[r].at[u] = static_cast<float>(h[r][u]);
      }
    }
    typename Matrix::Rounded rounded[kOwnRows];
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) vectors.write(r, rounded[r] = Matrix::round(state[r]));
    const auto store = [&](int t) {  // h[t], but for the one that was given
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
        if (static_cast<unsigned>(t - 1) >= static_cast<unsigned>(rows.length[r])) continue;
        own.store(h[r] + at, Matrix::numbers(rounded[r]), rounded[r]);
      }
      at += step_size;
    };
    const auto take = [&] {
      inputs.wait();
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) x[r] = inputs.oldest(0, r);
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
        Matrix::result(sums, i / kUnits, i % kUnits) = x[i / kUnits].at[i % kUnits];
      }
      store(t);
      take();
      fetch(t + 1 + kAhead);
      w_hh.add_products(fragments, sums);
      vectors.swap();
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
#pragma unroll
        for (int u = 0; u < kUnits; ++u) state[r].at[u] = next_state_approx<kCell>(Matrix::result(sums, r, u));
        vectors.write(r, rounded[r] = Matrix::round(state[r]));
      }
      __syncthreads();
    }
    store(rows.longest);
    cp_async_wait<0>();  // what was fetched beyond the last step
  }
}

template <int kHidden, Cell kCell, Moves kMoves>
__global__ void __launch_bounds__(TensorCoreMatrix<kHidden, __nv_bfloat16>::kThreads, 1)
    rnn_backward_tensor_core_kernel(RnnBackwardArgs args) {
  using Matrix = TensorCoreMatrix<kHidden, __nv_bfloat16>;
  constexpr int kUnits = Matrix::kUnits;
  constexpr bool kWhole = kMoves != Moves::kSingly, kPacked = kMoves == Moves::kPacked;
  using State = NumberOf<__half, kMoves>;
  using Gradient = NumberOf<__nv_bfloat16, kMoves>;
  using Queue = StepQueue<1, kAhead, Matrix::kThreads, kUnits, kWhole, State>;
  using Numbers = typename Matrix::Numbers;
  static_assert(kCell == Cell::kTanh);
  REEL_SHARED(typename Matrix::Vectors[2], gradients);
  union Memory {
    typename Matrix::Staging staging[Matrix::kThreads / 32];
    typename Queue::Slots slots;
  };
  REEL_SHARED(Memory, memory);
  Matrix w_hh;
  w_hh.template read<true>(memory.staging, args.w_hh, args.hidden);
  const OwnUnits<kUnits, kWhole> own(Matrix::first_unit(), args.hidden);
  unsigned step_size = static_cast<unsigned>(args.batch * args.hidden);
  keep(step_size);
  VectorBuffers vectors(gradients, Matrix::first_unit());  // a slow warp may still read the last tile's
  Queue states(memory.slots, own);

  const int tile = rows_of_tile(args.batch);
  for (int begin = static_cast<int>(blockIdx.x) * tile; begin < args.batch;
       begin += static_cast<int>(gridDim.x) * tile) {
    const TileRows rows(args.lengths, begin, min(begin + tile, args.batch), own.count > 0, args.order);
    const int last = rows.longest - 1;
    unsigned at = static_cast<unsigned>(last) * step_size;  // step t from the first
    const State* h[kOwnRows];                               // of step 1
    Gradient* d_input[kOwnRows];                            // of step 0
    Numbers every[kOwnRows] = {}, at_last[kOwnRows] = {}, slope[kOwnRows];
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      const auto first = static_cast<unsigned>(rows.row[r] * args.hidden + own.first);
      h[r] = reinterpret_cast<const State*>(args.h) + step_size + first;
      d_input[r] = reinterpret_cast<Gradient*>(args.d_input) + first;
      keep(h[r]), keep(d_input[r]);
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        if (u >= own.count || !rows.has(r)) continue;
        every[r].at[u] = args.d_output.every_at(first + static_cast<unsigned>(u));
        at_last[r].at[u] = every[r].at[u] + args.d_output.last_at(first + static_cast<unsigned>(u));
      }
      for (int t = rows.longest; t < args.steps && rows.has(r); ++t) {
        own.store(d_input[r] + static_cast<unsigned>(t) * step_size, Numbers{}, typename Matrix::Rounded{});
      }
    }
    const auto fetch = [&](int t, unsigned from) {  // h[t+1], `from` of step t
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
        if (t >= 0) states.fetch(0, r, h[r] + from);
      }
      states.commit();
    };
    typename Queue::Numbers state[kOwnRows];  // of the step after the one whose slopes are known
    const auto take = [&] {
      states.wait();
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) state[r] = states.oldest(0, r);
    };
    const auto find_slopes = [&] {
#pragma unroll
      for (int i = 0; i < kOwnRows * kUnits; ++i) {
        slope[i / kUnits].at[i % kUnits] = tanh_slope(static_cast<float>(state[i / kUnits].at[i % kUnits]));
      }
    };
    typename Matrix::Results sums;
    const auto begin_sums = [&](int t) {
#pragma unroll
      for (int i = 0; i < kOwnRows * kUnits; ++i) {
        const int r = i / kUnits, u = i % kUnits;
        Matrix::result(sums, r, u) = t == rows.length[r] - 1 ? at_last[r].at[u] : every[r].at[u];
      }
    };
#pragma unroll 1
    for (int t = last; t > last - kAhead; --t) fetch(t, static_cast<unsigned>(t) * step_size);
    take();
    fetch(last - kAhead, at - kAhead * step_size);
    find_slopes();
    take();
    fetch(last - kAhead - 1, at - (kAhead + 1) * step_size);
    begin_sums(last);
#pragma unroll 1
    for (int t = last; t >= 0; --t) {
      Numbers d_z[kOwnRows];
      typename Matrix::Rounded rounded[kOwnRows];
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
        const bool is_step = t < rows.length[r];  // after a row's end 0, whatever flows there
#pragma unroll
        for (int u = 0; u < kUnits; ++u) {
          const float flows = __fmul_rn(Matrix::result(sums, r, u), slope[r].at[u]);
          d_z[r].at[u] = kPacked || is_step ? flows : 0.0f;
        }
        rounded[r] = Matrix::round(d_z[r]);
        if constexpr (kPacked) {
#pragma unroll
          for (std::uint32_t& pair : rounded[r].at) pair = is_step ? pair : 0;
        }
        vectors.write(r, rounded[r]);
      }
      __syncthreads();
      typename Matrix::Fragments fragments;
      vectors.read(fragments);
      vectors.swap();
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
        if (rows.has(r)) own.store(d_input[r] + at, d_z[r], rounded[r]);
      }
      at -= step_size;
      find_slopes();
      take();
      fetch(t - 2 - kAhead, at - (kAhead + 1) * step_size);
      begin_sums(t - 1);
      w_hh.add_products(fragments, sums);
    }
  }
}

template <int kHidden, class Args>
void run(CudaContext& context, void (*kernel)(Args), const Args& args) {
  launch(kernel,
         {.grid = dim3(blocks_of_batch(args.batch, context.platform.limits().multiprocessors, 2)),
          .block = dim3(TensorCoreMatrix<kHidden, __half>::kThreads),
          .stream = context.platform.stream()},
         args);
}

/// f(width, cell, moves)
template <class Op, class F>
void with_kernel(const Op& op, std::initializer_list<const void*> arrays, const F& f) {
  with_width_and_cell(kWidths, op, [&](auto width, auto cell) {
    if constexpr (!traits(cell()).bounded) {
      throw Error("tensor cores: states that are not bounded");
    } else {
      with_moves(op.packed, can_move_units(4, op.shape.hidden, arrays), [&](auto moves) { f(width, cell, moves); });
    }
  });
}

}  // namespace

void rnn_forward_tensor_core(CudaContext& context, const RecurrenceForward<float>& op) {
  with_kernel(op, {op.input.values.data(), op.h.data()}, [&](auto width, auto cell, auto moves) {
    run<width()>(context, rnn_forward_tensor_core_kernel<width(), cell(), moves()>, RnnForwardArgs(op));
  });
}

void rnn_backward_tensor_core(CudaContext& context, const RecurrenceBackward<float>& op) {
  with_kernel(op, {op.h.data(), op.d_input.data()}, [&](auto width, auto cell, auto moves) {
    run<width()>(context, rnn_backward_tensor_core_kernel<width(), cell(), moves()>, RnnBackwardArgs(op));
  });
}

}  // namespace reel::cuda
