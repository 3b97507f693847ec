// What a batch row's steps need from global memory, on its way from there some steps early; and from the step before.
#pragma once

#include <cuda_ptx.h>

#include "kernels/cuda/recurrence/arguments.cuh"

namespace reel::cuda {

/// Two vectors in shared memory, one of which is read while the other is written: what a thread has of each.
struct DoubleBuffer {
  SharedAddress read, write;
  int stride;  // from what was read first

  __device__ void swap() {
    read += stride;
    write -= stride;
    stride = -stride;
  }
};

/// kCount floats of one thread in shared memory, kStride floats apart, used in turn.
template <int kCount, int kStride>
struct SlotRing {
  static constexpr int kBytes = kStride * static_cast<int>(sizeof(float));

  SharedAddress current, last;

  __device__ explicit SlotRing(const float* slots)
      : current(opaque_address(slots)), last(current + (kCount - 1) * kBytes) {}
  __device__ void advance() { current = current == last ? current - (kCount - 1) * kBytes : current + kBytes; }
};

/// One column of a row's inputs, fetched early by cp.async into kAhead slots that this thread alone reads, so that its
/// own wait suffices; from step to step they are kStride floats apart. A step either fetches that kAhead - 1 steps on
/// and takes its own then, or takes it and fetches that kAhead steps on.
template <int kAhead, int kStride>
struct InputQueue {
  const std::int32_t* row_of;       // of the step after the one that is fetched next
  const float* input;               // this thread's column
  SlotRing<kAhead, kStride> slots;  // where the next take() or fetch() finds its step
  int width_bytes, length;          // of a row of the input; of the batch row
  bool owner;                       // whether this thread wants any
  int next_row = 0;

  /// Starts fetching the first `steps`.
  __device__ void begin(int steps) {
    if (length > 0) next_row = *row_of;
    for (int t = 0; t < steps; ++t) fetch(t);
  }
  /// Starts fetching step t, whose row was read one step ago, and reads the row of the step after it.
  __device__ void fetch(int t) {
    const float* const from = row_address(input, next_row, width_bytes);
    if (owner && t < length) cp_async_4(slots.current, from);
    cp_async_commit();
    slots.advance();
    ++row_of;
    if (t + 1 < length) next_row = *row_of;
  }
  __device__ float take() const {
    cp_async_wait<kAhead - 1>();
    return owner ? load_shared(slots.current) : 0.0f;
  }
};

/// What flows into single steps of a unit on the way back through its row. By the same rules: fetch() is part of a
/// group of copies that the caller commits and waits for, and `slot` one of the thread's own, which has been taken.
struct StepGradientQueue {
  const float* above = nullptr;          // this unit's column, or null
  const std::int32_t* row_of = nullptr;  // of the batch row
  unsigned width_bytes;                  // of its rows
  int argmax = -1, row = 0;
  float maximum = 0;

  /// Of unit j of row b, if this thread has one.
  __device__ StepGradientQueue(const StepGradientArgs& args, int b, int j, int steps, int hidden, bool owner)
      : width_bytes(static_cast<unsigned>(args.width) * static_cast<unsigned>(sizeof(float))) {
    if (!owner) return;
    if (args.maximum != nullptr) {
      const std::size_t i = static_cast<std::size_t>(b) * hidden + j;
      maximum = args.maximum[i];
      argmax = args.argmax[i];
    }
    if (args.above == nullptr) return;
    above = args.above + args.column + j;
    row_of = args.row_of + static_cast<std::size_t>(b) * steps;
  }
  /// Reads which row of the layer above is that of step t: some time before fetch(t), which needs it.
  __device__ void read_row(int t) {
    if (above != nullptr && t >= 0) row = row_of[t];
  }
  __device__ void fetch(int t, SharedAddress slot) const {
    if (above != nullptr && t >= 0) cp_async_4(slot, row_address(above, row, static_cast<int>(width_bytes)));
  }
  __device__ float take(int t, SharedAddress slot) const {
    return (t == argmax ? maximum : 0.0f) + (above != nullptr ? load_shared(slot) : 0.0f);
  }
};

}  // namespace reel::cuda
