#include "bench/training.h"

#include <numeric>
#include <vector>

#include "bench/reviews.h"

namespace reel::bench {

Training::Training(Backend<float>& backend, const Shape& shape, std::int64_t batches, RowUpdates updates)
    : config_{.vocabulary = shape.vocabulary,
              .embedding = shape.embedding,
              .hidden = shape.hidden,
              .cell = shape.cell,
              .layers = shape.layers,
              .bidirectional = shape.bidirectional},
      model_(backend, config_, shape.batch, shape.steps),
      optimizer_(model_, {}, updates),
      batches_(batches),
      rows_(backend.allocate<std::int32_t>(shape.batch * batches)),
      clock_(backend.allocate<StepClock>(2)),
      stats_(backend.allocate<BatchStats>(1)) {
  const Dataset reviews = make_reviews(shape.batch * batches, shape.steps, shape.vocabulary, true);
  tokens_ = std::accumulate(reviews.lengths.begin(), reviews.lengths.end(), std::int64_t{0}) / batches;
  data_ = to_device(backend, reviews);
  std::vector<float> weights(model_.parameters().size());
  initialise<float>(config_, {.seed = 1}, weights);
  backend.upload(std::span<const float>(weights), model_.parameters());
  std::vector<std::int32_t> order(rows_.size());
  std::iota(order.begin(), order.end(), 0);
  backend.upload(std::span<const std::int32_t>(order), rows_.span());
  constexpr std::int64_t kSteps = 4096;  // those beyond have the rates of these
  optimizer_.follow(
      clock_.data(), [](std::int64_t) { return 1e-3; }, kSteps);
  optimizer_.put_rates();
  step();
  std::vector<std::int32_t> distinct(1);
  backend.download(std::span<const std::int32_t>(model_.gradient().index.count), std::span<std::int32_t>(distinct));
  flop_ = 3 * 2 * shape.gates() * (tokens_ * shape.hidden + distinct.front() * shape.embedding);
}

void Training::select() {
  const std::size_t size = rows_.size() / static_cast<std::size_t>(batches_);
  const std::span<const std::int32_t> rows = rows_.span(static_cast<std::size_t>(batch_) * size, size);
  model_.select(
      data_, rows,
      {.clock = clock_.data(), .rows = static_cast<std::int64_t>(size), .word_dropout = 0.2f, .dropout = 0.5f});
  batch_ = (batch_ + 1) % batches_;
}

void Training::step() {
  model_.backend().run(BeginStep{.clock = clock_.span()});
  select();
  forward();
  backward();
  optimizer_step();
}

}  // namespace reel::bench
