// The heavy operations of a training step, one by one, on memory that is filled once.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/shape.h"
#include "host/text/dataset.h"
#include "kernels/backend.h"

namespace reel::bench {

class Operations {
 public:
  /// Everything has run once.
  Operations(Backend<float>& backend, const Shape& shape, bool ragged);

  void project();
  void recurrence_forward();
  void recurrence_backward();
  void embedding_gradient();
  /// The first two, and the last two: on a device that projects the input with the recurrence there are only these.
  void layer_forward();
  void layer_backward();

  std::int64_t tokens() const { return tokens_; }  // that rows really have
  std::int64_t distinct_tokens() const;
  /// What a pass of the recurrence reads and writes, at least.
  std::int64_t recurrence_bytes() const {
    return static_cast<std::int64_t>((h_.size() + saved_.size() + dz_.size()) * sizeof(float));
  }
  /// What the layer computed: h, the gradients of embedding rows, w_ih, bias, w_hh and b_hh, and dz where there is one.
  /// Steps after a row's end and words that no token is are 0.
  std::vector<std::vector<float>> results() const;

 private:
  /// [V, E] of rows in the order of this device's index; words that it does not list are 0.
  std::vector<float> by_word(const std::vector<float>& rows) const;
  ProjectTokens<float> projection();
  RecurrenceForward<float> recurrence();
  RecurrenceBackward<float> recurrence_gradient();
  ProjectionGradient<float> projection_gradient();

  Backend<float>& backend_;
  Shape shape_;
  bool packed_ = false;  // h_ and dz_
  std::int64_t tokens_ = 0;
  TokenIndex index_;
  Buffer<std::int32_t> ids_, lengths_, count_, distinct_, slot_, row_of_, segment_, position_;
  Buffer<float> embedding_, w_ih_, bias_, w_hh_, b_hh_, projected_, h_, saved_, d_last_;
  Buffer<float> dz_, d_recurrent_, d_w_hh_, d_b_hh_, d_projected_, d_embedding_, d_w_ih_, d_bias_;
};

/// The largest difference of an element from `expected`, relative to the largest magnitude in its tensor, of the
/// tensors that both have.
double relative_difference(const Operations& actual, const Operations& expected);

}  // namespace reel::bench
