#include "bench/training.h"

#include <numeric>
#include <vector>

#include "bench/reviews.h"

namespace reel::bench {

Training::Training(const BackendOptions& options, const Shape& shape)
    : backend_(make_backend(options)),
      config_{.vocabulary = shape.vocabulary, .embedding = shape.embedding, .hidden = shape.hidden},
      model_(*backend_, config_, shape.batch, shape.steps),
      optimizer_(*backend_, {}, parameter_count(config_)),
      rows_(backend_->allocate<std::int32_t>(shape.batch)),
      stats_(backend_->allocate<BatchStats>(1)) {
  const Dataset reviews = make_reviews(shape.batch, shape.steps, shape.vocabulary, true);
  tokens_ = std::accumulate(reviews.lengths.begin(), reviews.lengths.end(), std::int64_t{0});
  data_ = to_device(*backend_, reviews);
  std::vector<float> weights(model_.parameters().size());
  initialise<float>(config_, {.seed = 1}, weights);
  backend_->upload(std::span<const float>(weights), model_.parameters());
  std::vector<std::int32_t> order(static_cast<std::size_t>(shape.batch));
  std::iota(order.begin(), order.end(), 0);
  backend_->upload(std::span<const std::int32_t>(order), rows_.span());
  step();
  synchronize();
}

void Training::select() { model_.select(data_, rows_.span(), {.word_dropout = 0.2f, .dropout = 0.5f}); }

void Training::step() {
  select();
  forward();
  backward();
  optimizer_step();
}

}  // namespace reel::bench
