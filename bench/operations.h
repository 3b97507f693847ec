// The heavy operations of a training step, one by one, on memory that is filled once.
#pragma once

#include <cstdint>
#include <memory>

#include "host/text/dataset.h"
#include "kernels/backend.h"
#include "kernels/make_backend.h"

namespace reel::bench {

class Operations {
 public:
  Operations(const BackendOptions& options, const Shape& shape, bool ragged);

  void project();
  void recurrence_forward();
  void recurrence_backward();
  void embedding_gradient();
  void synchronize() { backend_->synchronize(); }

  std::int64_t tokens() const { return tokens_; }  // that rows really have

 private:
  std::unique_ptr<Backend<float>> backend_;
  Shape shape_;
  std::int64_t tokens_ = 0;
  TokenIndex index_;
  Buffer<std::int32_t> ids_, lengths_, count_, distinct_, slot_, row_, segment_, position_;
  Buffer<float> embedding_, w_ih_, bias_, w_hh_, projected_, h_, d_pooled_;
  Buffer<float> dz_, d_w_hh_, d_projected_, d_embedding_, d_w_ih_, d_bias_;
};

}  // namespace reel::bench
