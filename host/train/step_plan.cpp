#include "host/train/step_plan.h"

#include <vector>

#include "host/model/model.h"
#include "host/model/optimizer.h"

namespace reel {

Plan plan_step(Backend<float>& backend, const TrainConfig& config) {
  const std::int64_t B = config.batch_size, T = config.preprocessing.maxlen;
  Model<float> model(backend, config.model, B, T);
  Optimizer<float> optimizer(model, config.optimizer.settings());
  const auto rows = static_cast<std::size_t>(B);
  Dataset reviews{.steps = T};
  reviews.ids.resize(rows * static_cast<std::size_t>(T));
  reviews.lengths.assign(rows, static_cast<std::int32_t>(T));
  reviews.labels.resize(rows);
  const DeviceDataset data = to_device(backend, reviews);
  const Buffer<std::int32_t> order = backend.allocate<std::int32_t>(B);
  Buffer<BatchStats> stats = backend.allocate<BatchStats>(1);
  Buffer<StepClock> clock = backend.allocate<StepClock>(2);
  optimizer.follow(
      clock.data(), [&](std::int64_t) { return config.optimizer.peak_rate(); }, 1);
  return backend.plan([&] {
    backend.run(BeginStep{.clock = clock.span(), .rows = B});
    model.select(data, order.span(),
                 {.clock = clock.data(),
                  .rows = B,
                  .padding = config.preprocessing.batch_padding(),
                  .word_dropout = config.word_dropout,
                  .dropout = config.dropout,
                  .embedding_dropout = config.embedding_dropout,
                  .layer_dropout = config.layer_dropout});
    model.forward();
    model.backward(stats.span());
    optimizer.step(config.clipping, stats.span());
  });
}

}  // namespace reel
