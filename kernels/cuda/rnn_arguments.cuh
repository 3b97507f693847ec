// What the recurrence's kernels are given: RnnForward and RnnBackward of kernels/operations.h as plain pointers.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

namespace reel::cuda {

struct RnnForwardArgs {
  const std::int32_t* row;      // [B, T]
  const std::int32_t* lengths;  // [B]
  const float* projected;       // [U, H]
  const float* w_hh;            // [H, H]
  float* h;                     // [T+1, B, H]
  int batch, steps, hidden;

  explicit RnnForwardArgs(const RnnForward<float>& args)
      : row(args.row.data()),
        lengths(args.lengths.data()),
        projected(args.projected.data()),
        w_hh(args.w_hh.data()),
        h(args.h.data()),
        batch(static_cast<int>(args.shape.batch)),
        steps(static_cast<int>(args.shape.steps)),
        hidden(static_cast<int>(args.shape.hidden)) {}
};

struct RnnBackwardArgs {
  const std::int32_t* lengths;  // [B]
  const float* h;               // [T+1, B, H]
  const float* w_hh;            // [H, H]
  const float* d_pooled;        // [B, H]
  float* dz;                    // [T, B, H]
  float* d_h0;                  // [B, H] or null
  int batch, steps, hidden;
  bool mean;

  explicit RnnBackwardArgs(const RnnBackward<float>& args)
      : lengths(args.lengths.data()),
        h(args.h.data()),
        w_hh(args.w_hh.data()),
        d_pooled(args.d_pooled.data()),
        dz(args.dz.data()),
        d_h0(args.d_h0.data()),
        batch(static_cast<int>(args.shape.batch)),
        steps(static_cast<int>(args.shape.steps)),
        hidden(static_cast<int>(args.shape.hidden)),
        mean(args.pool == Pool::kMean) {}
};

}  // namespace reel::cuda
