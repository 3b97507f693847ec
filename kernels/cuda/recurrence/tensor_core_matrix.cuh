// A matrix that a warp keeps in registers, as operands of its tensor core instructions, for many products with the
// vectors of eight batch rows.
//
// D [unit, row] = A [unit, k] . B [k, row], in tiles of mma.m16n8k16: the matrix is A, so that eight batch rows fill an
// instruction. Which unit a row of A is, is free: rows g and g + 8 of a tile are adjacent units, so that a thread's
// results are those of adjacent units of two batch rows, which it moves at once. Fragment layouts: PTX ISA, "Matrix
// Fragments for mma.m16n8k16". Vectors lie in shared memory row by row, padded so that neither ldmatrix nor stores have
// conflicts.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_ptx.h>

#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "kernels/cuda/device.h"
#include "kernels/cuda/recurrence/arguments.cuh"
#include "kernels/cuda/recurrence/moves.h"

namespace reel::cuda {

__device__ inline void round_to(float x, __half& y) { y = __float2half_rn(x); }
__device__ inline void round_to(float x, __nv_bfloat16& y) { y = __float2bfloat16_rn(x); }
__device__ inline std::uint32_t pack(float low, float high, __half) { return pack_fp16(low, high); }
__device__ inline std::uint32_t pack(float low, float high, __nv_bfloat16) { return pack_bf16(low, high); }
__device__ inline void multiply_tile(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], __half) {
  mma_fp16(d, a, b);
}
__device__ inline void multiply_tile(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                                     __nv_bfloat16) {
  mma_bf16(d, a, b);
}

constexpr int kTileUnits = 16, kTileRows = 8;
constexpr int kOwnRows = 2;  // batch rows that a thread has results of

/// The first of them in its tile.
__device__ inline int own_row() { return static_cast<int>(threadIdx.x) % 4 * kOwnRows; }

/// Adjacent units of a batch row, moved at once.
template <class Number, int kUnits>
struct alignas(kUnits * sizeof(Number)) Adjacent {
  Number at[kUnits];
};

/// What lies so many bytes into shared memory.
template <class T>
__device__ T& at_offset(void* memory, unsigned bytes) {
  return *reinterpret_cast<T*>(static_cast<char*>(memory) + bytes);
}

/// A row of a table whose rows have so many bytes: its address is one multiply-add.
__device__ inline const float* row_at(const float* table, std::int32_t row, unsigned row_bytes) {
  return reinterpret_cast<const float*>(reinterpret_cast<const char*>(table) +
                                        std::size_t{static_cast<std::uint32_t>(row)} * row_bytes);
}

/// The fp16 number in the low or high half.
__device__ inline float unpack_fp16(std::uint32_t pair, int half) {
  return __half2float(__ushort_as_half(static_cast<unsigned short>(pair >> 16 * half)));
}

/// kTiles tiles of a warp, of kDepth columns; Element is __half or __nv_bfloat16. Products are added up along k in
/// kChains sums: a chain of instructions is as much shorter.
template <int kTiles, int kDepth, int kChains, class Element>
struct TensorCoreTiles {
  static constexpr int kProducts = kDepth / 16;  // along k
  static_assert(kDepth % 32 == 0 && (kChains == 1 || kChains == 2));
  using Vectors = Element[kTileRows][kDepth + 8];
  using Results = float[kTiles][4];  // of a tile: first the lower of two units, for both batch rows

  std::uint32_t a[kTiles][kProducts][4];

  /// Shared memory that a warp needs while it loads, 16-byte aligned.
  static constexpr int kColumns = 32;
  using Staging = Element[kTileUnits][kColumns + 8];

  /// element(m, u, k): row u of tile m. `memory` has a Staging for each warp, and is free afterwards. Lanes go along k
  /// or, with kAlongUnits, from row to row: where the matrix is contiguous.
  template <bool kAlongUnits, class Matrix>
  __device__ void load(void* memory, const Matrix& element) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    Staging& staging = static_cast<Staging*>(memory)[threadIdx.x / 32];
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int k = 0; k < kProducts; k += kColumns / 16) {
        __syncwarp();  // all have read what was there
#pragma unroll 4
        for (int i = lane; i < kTileUnits * kColumns; i += 32) {
          const int row = kAlongUnits ? i % kTileUnits : i / kColumns,
                    column = kAlongUnits ? i / kTileUnits : i % kColumns;
          round_to(element(m, row, k * 16 + column), staging[row][column]);
        }
        __syncwarp();
#pragma unroll
        for (int half = 0; half < kColumns / 16; ++half) {
          ldmatrix_x4(a[m][k + half], &staging[lane % 16][half * 16 + lane / 16 * 8]);
        }
      }
    }
    __syncthreads();
  }

  using Fragments = std::uint32_t[kProducts / 2][4];  // of all rows' vectors

  /// Adds the products with them.
  __device__ void add_products(const Fragments& fragments, Results& results) const {
    float other[kTiles][4] = {};
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int k = 0; k < kProducts; ++k) {
        const std::uint32_t b[2] = {fragments[k / 2][k % 2 * 2], fragments[k / 2][k % 2 * 2 + 1]};
        multiply_tile(k % kChains == 0 ? results[m] : other[m], a[m][k], b, Element());
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (kChains == 2) results[m][e] += other[m][e];
      }
    }
  }
};

/// Two buffers of vectors: of the one, all warps read after a barrier what threads have written before it, while the
/// other is written. Addresses are kept in registers.
template <class Vectors>
struct VectorBuffers {
  static constexpr int kBytes = sizeof(Vectors), kRowBytes = kBytes / kTileRows, kNumberBytes = 2;

  Vectors (&buffers)[2];
  unsigned own, current = 0;  // bytes to this thread's numbers of its first row, and to the buffer
  const char* lane;           // what this lane reads for its warp
  int other = kBytes;         // bytes to the other buffer

  /// k: the first of this thread's numbers of a row; read_from: the first that its warp reads.
  __device__ VectorBuffers(Vectors (&memory)[2], int k, int read_from = 0)
      : buffers(memory),
        own(static_cast<unsigned>(own_row() * kRowBytes + k * kNumberBytes)),
        lane(reinterpret_cast<const char*>(memory) + threadIdx.x % 8 * kRowBytes + threadIdx.x % 32 / 8 * 16 +
             read_from * kNumberBytes) {
    keep(own);
  }
  /// To its numbers of row r, or to those so many further.
  template <class Pairs>
  __device__ void write(int r, const Pairs& pairs, int further = 0) const {
    at_offset<Pairs>(buffers[0][r] + further, own + current) = pairs;
  }
  template <int kFragments>
  __device__ void read(std::uint32_t (&fragments)[kFragments][4]) const {
#pragma unroll
    for (int i = 0; i < kFragments; ++i) ldmatrix_x4(fragments[i], lane + 64 * i);
  }
  __device__ void swap() {
    current = kBytes - current;
    lane += other;
    other = -other;
  }
};

/// What sequences hold: float, or what goes into the next product.
template <class Element, Moves kMoves>
using NumberOf = std::conditional_t<kMoves == Moves::kPacked, Element, float>;

/// A thread's kUnits adjacent units, and how they are moved: kWhole, all at once (see can_move_units()); else one by
/// one. In place of units that do not exist others of the same row are fetched: numbers that are finite if the row's
/// are, since what is made of them is multiplied by 0.
template <int kUnits, bool kWhole>
struct OwnUnits {
  int first, count;  // of those that exist; first 0 if none does

  __device__ OwnUnits(int unit, int hidden) : first(unit), count(min(max(hidden - unit, 0), kUnits)) {
    if (count == 0) first = 0;
  }
  template <class Number>
  __device__ void fetch(Adjacent<Number, kUnits>& slot, const Number* from) const {
    for_each_copy(slot, from, [](auto& to, const Number* at) { cp_async<sizeof to>(&to, at); });
  }
  /// Zeros where they do not exist.
  template <class Number>
  __device__ void fetch_if(bool exists, Adjacent<Number, kUnits>& slot, const Number* from) const {
    for_each_copy(slot, from, [&](auto& to, const Number* at) { cp_async_if<sizeof to>(exists, &to, at); });
  }
  __device__ void store(float* to, const Adjacent<float, kUnits>& numbers) const {
    if constexpr (kWhole) {
      *reinterpret_cast<Adjacent<float, kUnits>*>(to) = numbers;
    } else {
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        if (u < count) to[u] = numbers.at[u];
      }
    }
  }
  /// To a sequence: the numbers, or of one that is packed what they have been rounded to.
  template <class Number, class Rounded>
  __device__ void store(Number* to, const Adjacent<float, kUnits>& numbers, const Rounded& rounded) const {
    static_assert(sizeof rounded == kUnits * sizeof(std::uint16_t));
    if constexpr (sizeof(Number) < sizeof(float)) {
      *reinterpret_cast<Rounded*>(to) = rounded;
    } else {
      store(to, numbers);
    }
  }

 private:
  template <class Number, class Copy>
  __device__ void for_each_copy(Adjacent<Number, kUnits>& slot, const Number* from, const Copy& copy) const {
    if constexpr (kWhole) {
      copy(slot, from);
    } else {
#pragma unroll
      for (int u = 0; u < kUnits; ++u) copy(slot.at[u], u < count ? from + u : from);
    }
  }
};

/// What a thread reads of its units in each step, kNumbers for each, fetched kAhead steps early into slots that it
/// alone reads, so that its own wait suffices. Some may be smaller than a Number: an Element.
template <int kNumbers, int kAhead, int kThreads, int kUnits, bool kWhole, class Number = float>
struct StepQueue {
  using Numbers = Adjacent<Number, kUnits>;
  using Slots = Numbers[kAhead][kNumbers][kOwnRows][kThreads];

  Slots& slots;
  OwnUnits<kUnits, kWhole> units;
  unsigned own, step = 0;  // bytes to this thread's slots, and to those of the oldest step

  __device__ StepQueue(Slots& memory, const OwnUnits<kUnits, kWhole>& own_units)
      : slots(memory), units(own_units), own(threadIdx.x * static_cast<unsigned>(sizeof(Numbers))) {
    keep(own);
  }
  /// Until the oldest step is there.
  __device__ void wait() const { cp_async_wait<kAhead - 1>(); }
  template <class Element = Number>
  __device__ Adjacent<Element, kUnits>& oldest(int number, int r) const {
    static_assert(sizeof(Element) <= sizeof(Number));
    return at_offset<Adjacent<Element, kUnits>>(slots[0][number][r], own + step);
  }
  /// Into the oldest step's slots, once they have been read.
  __device__ void fetch(int number, int r, const Number* from) const { units.fetch(oldest(number, r), from); }
  template <class Element>
  __device__ void fetch_if(bool exists, int number, int r, const Element* from) const {
    units.fetch_if(exists, oldest<Element>(number, r), from);
  }
  __device__ void commit() {
    cp_async_commit();
    if (kAhead > 1) step = (step + static_cast<unsigned>(sizeof(slots[0]))) % static_cast<unsigned>(sizeof(slots));
  }
};

/// Whether a thread's adjacent units can be moved at once: H and the arrays' addresses are multiples of so many
/// numbers.
inline bool can_move_units(int units, std::int64_t hidden, std::initializer_list<const void*> arrays) {
  return hidden % units == 0 && std::ranges::all_of(arrays, [&](const void* array) {
           return reinterpret_cast<std::uintptr_t>(array) % (static_cast<std::size_t>(units) * sizeof(float)) == 0;
         });
}

/// How many blocks a batch gets: one a tile, where tiles have as few rows as all multiprocessors take, kTileRows at
/// most; but so many a multiprocessor at most, which go on with further tiles.
inline unsigned blocks_of_batch(int batch, int multiprocessors, int blocks_each) {
  const int rows = std::min(kTileRows, (batch + multiprocessors - 1) / multiprocessors);
  return static_cast<unsigned>(std::min((batch + rows - 1) / rows, blocks_each * multiprocessors));
}

/// How many batch rows a tile has then.
__device__ inline int rows_of_tile(int batch) {
  return min(kTileRows, (batch + static_cast<int>(gridDim.x) - 1) / static_cast<int>(gridDim.x));
}

/// The batch rows of a tile that this thread has results of.
struct TileRows {
  int first, end;        // in their order; from `end` on they are not its own
  int row[kOwnRows];     // some row in place of those
  int length[kOwnRows];  // 0 of those
  int longest = 0;       // of the whole tile

  /// Of the tile of batch rows order[begin .. tile_end); owner: whether the thread has units.
  __device__ TileRows(const std::int32_t* lengths, int begin, int tile_end, bool owner, RowOrder order = {})
      : first(begin + own_row()), end(owner ? tile_end : 0) {
#pragma unroll
    for (int i = begin; i < begin + kTileRows; ++i) {
      if (i < tile_end) longest = max(longest, lengths[order[i]]);
    }
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      row[r] = order[has(r) ? first + r : begin];
      length[r] = has(r) ? lengths[row[r]] : 0;
    }
  }
  __device__ bool has(int r) const { return first + r < end; }
};

/// Which row of a table each step of a tile's batch rows has, copied by one thread a batch row some steps before all
/// threads read it. After a row's end it is some row's.
struct RowIndices {
  static constexpr int kSteps = 16;
  using Ring = std::int32_t[kSteps][kTileRows];

  Ring& ring;
  const std::int32_t* row_of;  // of the batch row whose indices this thread copies
  int length;                  // 0 if it copies none
  unsigned copied, own;        // bytes to that batch row's, and to those of this thread's rows

  /// Those of the first kSteps steps; all threads, kSteps * kTileRows or more, meet at a barrier before they read.
  __device__ RowIndices(Ring& memory, const std::int32_t* all, const std::int32_t* lengths, int begin, int end,
                        int steps, RowOrder order = {})
      : ring(memory), copied(threadIdx.x * 4), own(static_cast<unsigned>(own_row()) * 4) {
    const int r = static_cast<int>(threadIdx.x) % kTileRows, t = static_cast<int>(threadIdx.x) / kTileRows;
    const bool exists = begin + r < end;
    const int row = order[exists ? begin + r : begin];
    row_of = all + static_cast<std::size_t>(row) * static_cast<std::size_t>(steps);
    length = exists ? lengths[row] : 0;
    keep(row_of), keep(copied), keep(own);
    if (t < kSteps) ring[t][r] = t < length ? row_of[t] : 0;
    if (t > 0) length = 0;
  }
  __device__ static unsigned step(int t) {
    return static_cast<unsigned>(t) % kSteps * static_cast<unsigned>(sizeof(Ring) / kSteps);
  }
  /// Starts copying those of step t; belongs to the copies that the caller commits next.
  __device__ void copy(int t) const {
    if (t < length) cp_async_4(&at_offset<std::int32_t>(ring, copied + step(t)), row_of + t);
  }
  /// Those of this thread's batch rows.
  __device__ Adjacent<std::int32_t, kOwnRows> at(int t) const {
    return at_offset<Adjacent<std::int32_t, kOwnRows>>(ring, own + step(t));
  }
};

}  // namespace reel::cuda
