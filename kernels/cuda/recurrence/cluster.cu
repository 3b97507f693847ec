// The recurrence and its back-propagation through time at widths whose W_hh no block can keep alone, each in one
// launch.
//
// The eight blocks of a cluster keep W_hh together (cluster_matrix.cuh) and walk through tiles of batch rows, each tile
// until its longest row ends. Every block has the states of the tile's rows in its own shared memory, whole and double-
// buffered. In a step it computes its units of the next states and sends them to all blocks of the cluster, each of
// which waits for the bytes that it gets (step_exchange.cuh): 0 for units and steps that do not exist, so that they are
// always as many. What no other block reads (h, dz) is written to global memory while they are on their way.
//
// A product takes four batch rows at a time. A tile has up to kMaxGroups such groups, as many as let the clusters that
// fit on the device share the batch: the way to the other blocks is paid once for all of them. As in
// resident.cu, what a thread alone reads is fetched kAhead steps early by cp.async; what differs by group lies in
// shared memory instead of registers, since a loop over groups that is unrolled would not fit the instruction cache.
#include <algorithm>
#include <limits>

#include "kernels/cuda/recurrence/arguments.cuh"
#include "kernels/cuda/recurrence/cells.cuh"
#include "kernels/cuda/recurrence/cluster_matrix.cuh"
#include "kernels/cuda/recurrence/dispatch.h"
#include "kernels/cuda/recurrence/step_exchange.cuh"
#include "kernels/cuda/recurrence/strategies.h"

namespace reel::cuda {
namespace {

constexpr Widths<384, 512> kWidths;
constexpr int kAhead = 4;      // steps between fetching a value and using it
constexpr int kMaxGroups = 4;  // of a tile
constexpr int kBlocks = ClusterMatrix<512>::kBlocks, kRows = ClusterMatrix<512>::kRows;
using Exchange = StepExchange<kBlocks>;

/// A block's shared memory.
template <int kHidden>
struct ClusterMemory {
  template <class T>
  using OfThreads = T[kMaxGroups][ClusterMatrix<kHidden>::kThreads];  // each used by its own thread only

  float vectors[2][kMaxGroups * kRows][kHidden];  // all units of h[t, b] or dz[t, b]; the other blocks write here
  OfThreads<float> values[kAhead];                // what steps are fetched
  OfThreads<int> rows[kAhead];                    // of the input, at the steps that are fetched next
  OfThreads<int> batch_rows, lengths;             // 0 where the thread has no result
  OfThreads<float> last, every;                   // what the last step and every step adds to d h
  Exchange::Barriers arrived;
};

/// The batch rows that a cluster takes through all steps together, in their order from `first` to `end`.
struct Tile {
  int first, end, groups, longest;
  int stride;  // to the cluster's next tile

  __device__ explicit Tile(int batch) {
    const int clusters = static_cast<int>(gridDim.x) / kBlocks, share = kRows * clusters;
    groups = min((batch + share - 1) / share, kMaxGroups);
    first = static_cast<int>(blockIdx.x) / kBlocks * groups * kRows;
    stride = share * groups;
  }
  /// False where no row is left.
  __device__ bool begin(const std::int32_t* lengths, RowOrder order, int batch) {
    end = min(first + groups * kRows, batch);
    groups = (end - first + kRows - 1) / kRows;
    longest = longest_row(lengths, order, first, end);
    return first < batch;
  }
};

/// The vectors in shared memory, as a thread reads them, and its own element of a group's first row block by block.
template <int kHidden>
struct Vectors {
  static constexpr int kGroupBytes = kRows * kHidden * static_cast<int>(sizeof(float));
  static constexpr int kBufferBytes = kMaxGroups * kGroupBytes;

  SharedAddress read;
  ClusterAddress written[kBlocks];  // the thread's own block first, lest all write to the same one
  SharedAddress own;                // in it

  __device__ Vectors(const ClusterMemory<kHidden>& memory, const ClusterMatrix<kHidden>& w_hh)
      : read(ClusterMatrix<kHidden>::part(memory.vectors[0][0])),
        own(opaque_address(&memory.vectors[0][w_hh.row][w_hh.unit])) {
    const unsigned rank = cluster_rank();
#pragma unroll
    for (unsigned i = 0; i < kBlocks; ++i) {
      written[i] = map_to_block(&memory.vectors[0][w_hh.row][w_hh.unit], (rank + i) % kBlocks);
    }
  }
  __device__ SharedAddress part(int buffer, int group) const {
    return read + buffer * kBufferBytes + group * kGroupBytes;
  }
  /// To all blocks, each of which counts it where it has this block's `barrier`.
  __device__ void write(int buffer, int group, float value, SharedAddress barrier) const {
#pragma unroll
    for (const ClusterAddress to : written) {
      store_async(to + buffer * kBufferBytes + group * kGroupBytes, value, to + static_cast<int>(barrier - own));
    }
  }
};

template <int kHidden, Cell kCell>
__global__ void __launch_bounds__(ClusterMatrix<kHidden>::kThreads, 1) rnn_forward_cluster_kernel(RnnForwardArgs args) {
  if constexpr (!kClusters) return fail_without_clusters();
  REEL_DYNAMIC_SHARED(ClusterMemory<kHidden>, memory);
  ClusterMatrix<kHidden> w_hh;
  w_hh.load(args.w_hh, args.hidden, false);
  const Vectors<kHidden> vectors(*memory, w_hh);
  Exchange exchange(memory->arrived);
  const int H = args.hidden, T = args.steps, unit = w_hh.unit, me = static_cast<int>(threadIdx.x);
  const std::size_t step_size = static_cast<std::size_t>(args.batch) * H;
  const auto runs = [&](int t, int g) { return t < memory->lengths[g][me]; };
  const auto value = [&](int t, int g) -> float& { return memory->values[t % kAhead][g][me]; };
  const auto input_row = [&](int t, int g) -> int& { return memory->rows[t % kAhead][g][me]; };

  for (Tile tile(args.batch); tile.begin(args.lengths, args.order, args.batch); tile.first += tile.stride) {
    const auto row = [&](int g) { return memory->batch_rows[g][me]; };
    // The inputs of step t, whose rows were fetched kAhead steps ago, and the rows of kAhead steps on.
    const auto fetch = [&](int t, int g) {
      if (runs(t, g)) cp_async_4(&value(t, g), args.input + input_row(t, g) * H + unit);
      if (runs(t + kAhead, g)) cp_async_4(&input_row(t, g), args.row_of + row(g) * T + t + kAhead);
    };
    for (int i = me; i < tile.groups * kRows * kHidden; i += ClusterMatrix<kHidden>::kThreads) {
      const int r = i / kHidden, c = i % kHidden;
      const bool exists = tile.first + r < tile.end && c < H;
      memory->vectors[0][r][c] = exists ? args.h[args.order[tile.first + r] * H + c] : 0.0f;
      memory->vectors[1][r][c] = 0;  // from H on for good
    }
    cluster_arrive();
#pragma unroll 1
    for (int g = 0; g < tile.groups; ++g) {
      const int place = tile.first + g * kRows + w_hh.row;
      const bool exists = place < tile.end && unit < H;
      memory->batch_rows[g][me] = exists ? args.order[place] : 0;
      memory->lengths[g][me] = exists ? args.lengths[row(g)] : 0;
      for (int t = 0; t < kAhead && runs(t, g); ++t) input_row(t, g) = args.row_of[row(g) * T + t];
    }
    for (int t = 0; t < kAhead; ++t) {
      for (int g = 0; g < tile.groups; ++g) fetch(t, g);
      cp_async_commit();
    }
    cluster_wait();
#pragma unroll 1
    for (int t = 0; t < tile.longest; ++t) {
      cp_async_wait<kAhead - 1>();
#pragma unroll 1
      for (int g = 0; g < tile.groups; ++g) {
        const float sum = w_hh.times(vectors.part(t % 2, g));
        const bool active = runs(t, g);
        const float next = active ? next_state<kCell>(sum + value(t, g)) : 0.0f;
        vectors.write((t + 1) % 2, g, next, exchange.barrier());
        if (active) args.h[(t + 1) * step_size + row(g) * H + unit] = next;
        fetch(t + kAhead, g);
      }
      cp_async_commit();
      exchange.wait(tile.groups * Vectors<kHidden>::kGroupBytes);
    }
  }
  Exchange::finish();
}

template <int kHidden, Cell kCell>
__global__ void __launch_bounds__(ClusterMatrix<kHidden>::kThreads, 1)
    rnn_backward_cluster_kernel(RnnBackwardArgs args) {
  if constexpr (!kClusters) return fail_without_clusters();
  REEL_DYNAMIC_SHARED(ClusterMemory<kHidden>, memory);
  ClusterMatrix<kHidden> w_hh;
  w_hh.load(args.w_hh, args.hidden, true);
  const Vectors<kHidden> vectors(*memory, w_hh);
  Exchange exchange(memory->arrived);
  const int H = args.hidden, unit = w_hh.unit, me = static_cast<int>(threadIdx.x);
  const std::size_t step_size = static_cast<std::size_t>(args.batch) * H;
  const auto runs = [&](int t, int g) { return t < memory->lengths[g][me]; };
  const auto value = [&](int t, int g) -> float& { return memory->values[t % kAhead][g][me]; };

  for (Tile tile(args.batch); tile.begin(args.lengths, args.order, args.batch); tile.first += tile.stride) {
    const auto index = [&](int g) { return memory->batch_rows[g][me] * H + unit; };
    const auto fetch = [&](int t, int g) {  // h[t+1]
      if (t >= 0 && runs(t, g)) cp_async_4(&value(t, g), args.h + (t + 1) * step_size + index(g));
    };
    for (int i = me; i < tile.groups * kRows * kHidden; i += ClusterMatrix<kHidden>::kThreads) {
      for (auto& buffer : memory->vectors) buffer[i / kHidden][i % kHidden] = 0;  // dz from a row's end on
    }
    cluster_arrive();
#pragma unroll 1
    for (int g = 0; g < tile.groups; ++g) {
      const int place = tile.first + g * kRows + w_hh.row;
      const bool exists = place < tile.end && unit < H;
      const int b = exists ? args.order[place] : 0, length = exists ? args.lengths[b] : 0;
      memory->batch_rows[g][me] = b;
      memory->lengths[g][me] = length;
      memory->last[g][me] = exists ? args.d_output.last_at(static_cast<std::size_t>(index(g))) : 0.0f;
      memory->every[g][me] = exists ? args.d_output.every_at(static_cast<std::size_t>(index(g))) : 0.0f;
      for (int t = length; t < args.steps && exists; ++t) args.d_input[t * step_size + index(g)] = 0;
    }
    for (int i = 1; i <= kAhead; ++i) {
      for (int g = 0; g < tile.groups; ++g) fetch(tile.longest - i, g);
      cp_async_commit();
    }
    cluster_wait();
#pragma unroll 1
    for (int t = tile.longest - 1; t >= 0; --t) {
      cp_async_wait<kAhead - 1>();
#pragma unroll 1
      for (int g = 0; g < tile.groups; ++g) {
        float d_h = w_hh.times(vectors.part((t + 1) % 2, g)), dz = 0;
        if (runs(t, g)) {
          d_h += memory->every[g][me];
          if (!runs(t + 1, g)) d_h += memory->last[g][me];
          dz = input_gradient<kCell>(d_h, value(t, g));
        }
        vectors.write(t % 2, g, dz, exchange.barrier());
        if (runs(t, g)) args.d_input[t * step_size + index(g)] = dz;
        fetch(t - kAhead, g);
      }
      cp_async_commit();
      exchange.wait(tile.groups * Vectors<kHidden>::kGroupBytes);
    }
  }
  Exchange::finish();
}

template <int kHidden>
Launch launch_of(const CudaContext& context, int clusters) {
  return {.grid = dim3(static_cast<unsigned>(clusters * kBlocks)),
          .block = dim3(ClusterMatrix<kHidden>::kThreads),
          .shared = sizeof(ClusterMemory<kHidden>),
          .stream = context.platform.stream(),
          .cluster = kBlocks};
}

template <int kHidden, class Args>
void run(CudaContext& context, void (*kernel)(Args), const Args& args) {
  const int groups = (args.batch + kRows - 1) / kRows;
  launch(kernel, launch_of<kHidden>(context, std::min(groups, cluster_capacity(context, kHidden))), args);
}

/// The fewest of all kernels of this width.
template <int kHidden>
int ask_capacity(const CudaContext& context) {
  if (sizeof(ClusterMemory<kHidden>) > context.platform.limits().shared_per_block) return 0;
  const Launch one = launch_of<kHidden>(context, 1);
  int fewest = std::numeric_limits<int>::max();
  for (const CellTraits& traits : kCells) {
    with_tuned_cell(traits.cell, [&](auto cell) {
      fewest = std::min({fewest, max_active_clusters(rnn_forward_cluster_kernel<kHidden, cell()>, one),
                         max_active_clusters(rnn_backward_cluster_kernel<kHidden, cell()>, one)});
    });
  }
  return fewest;
}

}  // namespace

int cluster_capacity(const CudaContext& context, std::int64_t hidden) {
  if (!context.platform.limits().clusters) return 0;
  return with_width(kWidths, hidden, [&](auto width) {
    std::optional<int>& known = context.cluster_capacities[width() > 384 ? 1 : 0];
    if (!known) known = ask_capacity<width()>(context);
    return *known;
  });
}

std::int64_t cluster_tiles(int capacity, std::int64_t batch) {
  const std::int64_t rows = std::int64_t{capacity} * kMaxGroups * kRows;
  return (batch + rows - 1) / rows;
}

void rnn_forward_cluster(CudaContext& context, const RecurrenceForward<float>& op) {
  with_width_and_cell(kWidths, op, [&](auto width, auto cell) {
    run<width()>(context, rnn_forward_cluster_kernel<width(), cell()>, RnnForwardArgs(op));
  });
}

void rnn_backward_cluster(CudaContext& context, const RecurrenceBackward<float>& op) {
  with_width_and_cell(kWidths, op, [&](auto width, auto cell) {
    run<width()>(context, rnn_backward_cluster_kernel<width(), cell()>, RnnBackwardArgs(op));
  });
}

}  // namespace reel::cuda
