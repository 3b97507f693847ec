// A model in the middle of training, whose passes can be run one by one.
#pragma once

#include <cstdint>

#include "bench/shape.h"
#include "host/model/model.h"
#include "host/model/optimizer.h"
#include "kernels/backend.h"

namespace reel::bench {

/// The recipe's model, dropout and Adam on ragged batches in turn; everything has run once.
class Training {
 public:
  Training(Backend<float>& backend, const Shape& shape, std::int64_t batches = 1,
           RowUpdates updates = RowUpdates::kFaster);

  void select();
  void forward() { model_.forward(); }
  void backward() { model_.backward(stats_.span()); }
  void optimizer_step() { optimizer_.step({.norm = 1}, stats_.span()); }
  /// Enqueued once, as a graph, it is the next step each time the graph is launched.
  void step();

  std::int64_t tokens() const { return tokens_; }  // that rows of a batch really have
  /// FLOP of a step's products: 3 of W_hh a token, 3 of W_ih a distinct one; of one layer in one direction.
  std::int64_t flop() const { return flop_; }

 private:
  ModelConfig config_;
  Model<float> model_;
  Optimizer<float> optimizer_;
  DeviceDataset data_;
  std::int64_t batches_, batch_ = 0;
  std::int64_t tokens_ = 0, flop_ = 0;
  Buffer<std::int32_t> rows_;
  Buffer<StepClock> clock_;
  Buffer<BatchStats> stats_;
};

}  // namespace reel::bench
