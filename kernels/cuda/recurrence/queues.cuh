// What a batch row's steps need from global memory, on its way from there some steps early.
#pragma once

#include <cuda_ptx.h>

#include "kernels/cuda/recurrence/arguments.cuh"

namespace reel::cuda {

/// One column of a row's inputs, fetched kAhead steps early by cp.async into slots that this thread alone reads, so
/// that its own wait suffices; from step to step they are kStride floats apart.
template <int kAhead, int kStride>
struct InputQueue {
  const std::int32_t* row_of;  // of the batch row
  const float* input;          // this thread's column
  float* slots;                // [kAhead] of this thread
  int width, length;           // of a row of the input; of the batch row
  bool owner;                  // whether this thread wants any
  int next_row = 0;

  __device__ void begin() {
    if (length > 0) next_row = row_of[0];
    for (int t = 0; t < kAhead; ++t) fetch(t);
  }
  /// Starts fetching step t, whose row was read one step ago, and reads the row of the step after it.
  __device__ void fetch(int t) {
    if (owner && t < length) {
      cp_async_4(slots + t % kAhead * kStride, input + static_cast<std::size_t>(next_row) * width);
    }
    cp_async_commit();
    if (t + 1 < length) next_row = row_of[t + 1];
  }
  __device__ float take(int t) const {
    cp_async_wait<kAhead - 1>();
    return owner ? slots[t % kAhead * kStride] : 0.0f;
  }
};

/// What flows into single steps of a unit on the way back through its row, by the same rules; fetch() is part of a
/// group of copies that the caller commits and waits for.
template <int kAhead, int kStride>
struct StepGradientQueue {
  const float* above = nullptr;          // this unit's column, or null
  const std::int32_t* row_of = nullptr;  // of the batch row
  float* slots;                          // [kAhead] of this thread
  int width, argmax = -1, row = 0;
  float maximum = 0;

  /// Of unit j of row b, if this thread has one.
  __device__ StepGradientQueue(const StepGradientArgs& args, int b, int j, int steps, int hidden, bool owner,
                               float* own_slots)
      : slots(own_slots), width(args.width) {
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
  __device__ void fetch(int t) const {
    if (above != nullptr && t >= 0) {
      cp_async_4(slots + t % kAhead * kStride, above + static_cast<std::size_t>(row) * width);
    }
  }
  __device__ float take(int t) const {
    return (t == argmax ? maximum : 0.0f) + (above != nullptr ? slots[t % kAhead * kStride] : 0.0f);
  }
};

}  // namespace reel::cuda
