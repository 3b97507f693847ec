// The recurrence and its back-propagation through time on tensor cores, each in one launch (--precision mixed).
//
// A block keeps W_hh (tensor_core_matrix.cuh) and walks through tiles of eight batch rows, each tile until its longest
// row ends; rows that have ended carry their state. States are rounded to fp16, since |h| <= 1, gradients to bfloat16,
// for its range; sums are float32. As in resident.cu, a thread fetches what it alone reads kAhead steps early, and
// there is one barrier a step.
#include <algorithm>

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

/// W_hh, or its transpose, of up to kHidden units: a warp has one or two tiles, 64 registers or fewer.
template <int kHidden, class Element>
struct TensorCoreMatrix : TensorCoreTiles<(kHidden > 128 ? 1 : 2), kHidden, 2, Element> {
  static constexpr int kTiles = kHidden > 128 ? 1 : 2, kThreads = 2 * kHidden / kTiles;
  static constexpr int kResults = kTiles * kTileResults;  // of a thread

  int first_unit;  // of this thread's results

  __device__ int unit(int m, int e) const { return first_unit + kTileUnits * m + e / 2 * 8; }
  /// `matrix` [size, size], size <= kHidden, or its transpose; filled up with zeros. memory: as of load().
  template <bool kTransposed>
  __device__ void read(void* memory, const float* matrix, int size) {
    const int first = static_cast<int>(threadIdx.x) / 32 * kTileUnits * kTiles;
    first_unit = first + tile_unit(0);
    this->template load<kTransposed>(memory, [&](int m, int u, int k) {
      const int row = first + kTileUnits * m + u;
      return row < size && k < size ? matrix[kTransposed ? k * size + row : row * size + k] : 0.0f;
    });
  }
};

/// One thread's values of kAhead steps, on their way from global memory.
template <class Matrix>
struct FetchedValues {
  using Slots = float[kAhead][Matrix::kResults][Matrix::kThreads];
  Slots& slots;

  __device__ void* slot(int step, int m, int e) { return &slots[step % kAhead][m * 4 + e][threadIdx.x]; }
  __device__ float get(int step, int m, int e) const { return slots[step % kAhead][m * 4 + e][threadIdx.x]; }
};

template <int kHidden, Cell kCell>
__global__ void __launch_bounds__(TensorCoreMatrix<kHidden, __half>::kThreads)
    rnn_forward_tensor_core_kernel(RnnForwardArgs args) {
  using Matrix = TensorCoreMatrix<kHidden, __half>;
  REEL_SHARED(typename Matrix::Vectors[2], states);
  REEL_SHARED(typename FetchedValues<Matrix>::Slots, slots);
  static_assert(sizeof(slots) >= Matrix::kThreads / 32 * sizeof(typename Matrix::Staging));
  Matrix w_hh;
  w_hh.template read<false>(slots, args.w_hh, args.hidden);
  const int H = args.hidden;
  const unsigned step_size = static_cast<unsigned>(args.batch * H);
  FetchedValues<Matrix> inputs{slots};

  for (int first = static_cast<int>(blockIdx.x) * kTileRows; first < args.batch;
       first += static_cast<int>(gridDim.x) * kTileRows) {
    const TileRows rows(args.lengths, first, args.batch);
    NextRows next{args.row_of, rows, args.steps};
    const auto fetch = [&](int t) {  // step t, whose rows were read a step ago
#pragma unroll
      for (int i = 0; i < Matrix::kResults; ++i) {
        const int m = i / 4, e = i % 4, unit = w_hh.unit(m, e);
        if (t < rows.length[e % 2] && unit < H) {
          cp_async_4(inputs.slot(t, m, e), args.input + static_cast<unsigned>(next.next[e % 2] * H + unit));
        }
      }
      cp_async_commit();
      next.read(t + 1);
    };
    next.read(0);
#pragma unroll 1
    for (int t = 0; t < kAhead; ++t) fetch(t);
#pragma unroll
    for (int i = 0; i < Matrix::kResults; ++i) {
      const int m = i / 4, e = i % 4, unit = w_hh.unit(m, e), row = rows.row[e % 2];
      const bool valid = row < args.batch && unit < H;
      const float state = valid ? args.h[static_cast<unsigned>(row * H + unit)] : 0.0f;
      states[0][tile_row(e)][unit] = __float2half_rn(state);
    }
    __syncthreads();
#pragma unroll 1
    for (int t = 0; t < rows.longest; ++t) {
      typename Matrix::Results sums;
      w_hh.times(states[t % 2], sums);
      cp_async_wait<kAhead - 1>();
#pragma unroll
      for (int i = 0; i < Matrix::kResults; ++i) {
        const int m = i / 4, e = i % 4, unit = w_hh.unit(m, e), row = rows.row[e % 2];
        __half state = states[t % 2][tile_row(e)][unit];  // carried over unless the row goes on
        if (t < rows.length[e % 2] && unit < H) {
          state = __float2half_rn(next_state_approx<kCell>(sums[m][e] + inputs.get(t, m, e)));
          args.h[static_cast<unsigned>(t + 1) * step_size + static_cast<unsigned>(row * H + unit)] =
              __half2float(state);
        }
        states[(t + 1) % 2][tile_row(e)][unit] = state;
      }
      fetch(t + kAhead);
      __syncthreads();
    }
  }
}

template <int kHidden, Cell kCell>
__global__ void __launch_bounds__(TensorCoreMatrix<kHidden, __nv_bfloat16>::kThreads)
    rnn_backward_tensor_core_kernel(RnnBackwardArgs args) {
  using Matrix = TensorCoreMatrix<kHidden, __nv_bfloat16>;
  REEL_SHARED(typename Matrix::Vectors[2], gradients);
  REEL_SHARED(typename FetchedValues<Matrix>::Slots, slots);
  static_assert(sizeof(slots) >= Matrix::kThreads / 32 * sizeof(typename Matrix::Staging));
  Matrix w_hh;
  w_hh.template read<true>(slots, args.w_hh, args.hidden);
  const int H = args.hidden;
  const std::size_t step_size = static_cast<std::size_t>(args.batch) * H;
  FetchedValues<Matrix> states{slots};
  int buffer = 0;  // goes on from tile to tile: a slow warp may still read the last tile's buffer

  for (int first = static_cast<int>(blockIdx.x) * kTileRows; first < args.batch;
       first += static_cast<int>(gridDim.x) * kTileRows) {
    const TileRows rows(args.lengths, first, args.batch);
    const auto index = [&](int m, int e) { return static_cast<unsigned>(rows.row[e % 2] * H + w_hh.unit(m, e)); };
    const auto valid = [&](int m, int e) { return rows.row[e % 2] < args.batch && w_hh.unit(m, e) < H; };
    const auto fetch = [&](int t) {  // h[t+1]
#pragma unroll
      for (int i = 0; i < Matrix::kResults; ++i) {
        const int m = i / 4, e = i % 4;
        if (t >= 0 && t < rows.length[e % 2] && w_hh.unit(m, e) < H) {
          cp_async_4(states.slot(t, m, e), args.h + (t + 1) * step_size + index(m, e));
        }
      }
      cp_async_commit();
    };
#pragma unroll 1
    for (int t = rows.longest - 1; t > rows.longest - 1 - kAhead; --t) fetch(t);
    typename Matrix::Results d_output, sums = {};  // d_output: what flows in at the next step
#pragma unroll
    for (int i = 0; i < Matrix::kResults; ++i) {
      const int m = i / 4, e = i % 4;
      d_output[m][e] = valid(m, e) ? args.d_output.last_at(index(m, e)) + args.d_output.every_at(index(m, e)) : 0.0f;
      for (int t = rows.longest; t < args.steps; ++t) {
        if (valid(m, e)) args.d_input[t * step_size + index(m, e)] = 0;
      }
    }
#pragma unroll 1
    for (int t = rows.longest - 1; t >= 0; --t) {
      cp_async_wait<kAhead - 1>();
#pragma unroll
      for (int i = 0; i < Matrix::kResults; ++i) {
        const int m = i / 4, e = i % 4, length = rows.length[e % 2];
        float d_z = 0;
        if (t < length && w_hh.unit(m, e) < H) {
          d_z = input_gradient<kCell>(sums[m][e] + d_output[m][e], states.get(t, m, e));
          if (t == length - 1) d_output[m][e] = args.d_output.every_at(index(m, e));  // registers for both would spill
        }
        if (valid(m, e)) args.d_input[t * step_size + index(m, e)] = d_z;
        round_to(d_z, gradients[buffer][tile_row(e)][w_hh.unit(m, e)]);
      }
      fetch(t - kAhead);
      __syncthreads();
      w_hh.times(gradients[buffer], sums);
      buffer ^= 1;
    }
  }
}

template <int kHidden, class Args>
void run(CudaContext& context, void (*kernel)(Args), const Args& args) {
  const int tiles = (args.batch + kTileRows - 1) / kTileRows;
  launch(kernel,
         {.grid = dim3(static_cast<unsigned>(std::min(tiles, 2 * context.platform.limits().multiprocessors))),
          .block = dim3(TensorCoreMatrix<kHidden, __half>::kThreads),
          .stream = context.platform.stream()},
         args);
}

}  // namespace

void rnn_forward_tensor_core(CudaContext& context, const RecurrenceForward<float>& op) {
  with_width_and_cell(kWidths, op, [&](auto width, auto cell) {
    if constexpr (traits(cell()).bounded) {
      run<width()>(context, rnn_forward_tensor_core_kernel<width(), cell()>, RnnForwardArgs(op));
    } else {
      throw Error("tensor cores: states that are not bounded");
    }
  });
}

void rnn_backward_tensor_core(CudaContext& context, const RecurrenceBackward<float>& op) {
  with_width_and_cell(kWidths, op, [&](auto width, auto cell) {
    if constexpr (traits(cell()).bounded) {
      run<width()>(context, rnn_backward_tensor_core_kernel<width(), cell()>, RnnBackwardArgs(op));
    } else {
      throw Error("tensor cores: states that are not bounded");
    }
  });
}

}  // namespace reel::cuda
