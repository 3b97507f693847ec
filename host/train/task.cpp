#include "host/train/task.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "host/text/shuffle.h"
#include "kernels/check.h"

namespace reel {

ClassificationTask::ClassificationTask(Backend<float>& backend, const TrainConfig& config, const TrainingData& data)
    : backend_(backend),
      config_(config),
      data_(data),
      device_data_(to_device(backend, data.train)),
      device_order_(backend.allocate<std::int32_t>(data.train.size())) {}

std::int64_t ClassificationTask::steps_per_epoch() const {
  return (data_.train.size() + config_.batch_size - 1) / config_.batch_size;
}

void ClassificationTask::begin_epoch(std::int64_t epoch) {
  if (config_.shuffle) {
    order_ = random_order(
        {.seed = config_.seed, .stream = RandomStream::kShuffle, .step = static_cast<std::uint64_t>(epoch)},
        data_.train.size());
  } else {
    order_.resize(static_cast<std::size_t>(data_.train.size()));
    std::iota(order_.begin(), order_.end(), 0);
  }
  backend_.upload(std::span<const std::int32_t>(order_), device_order_.span());
}

ClassificationTask::BatchSize ClassificationTask::select(Model<float>& model, std::int64_t step) const {
  REEL_CHECK(!order_.empty(), "a batch before begin_epoch()");
  const std::int64_t first = step % steps_per_epoch() * config_.batch_size;
  const auto offset = static_cast<std::size_t>(first);
  const auto size = static_cast<std::size_t>(std::min(config_.batch_size, data_.train.size() - first));
  model.select(device_data_, device_order_.span(offset, size),
               {.padding = config_.preprocessing.batch_padding(),
                .word_dropout = config_.word_dropout,
                .unknown_id = std::max(config_.preprocessing.load.oov_char, 0),
                .dropout = config_.dropout,
                .embedding_dropout = config_.embedding_dropout,
                .layer_dropout = config_.layer_dropout,
                .variational = config_.variational,
                .bptt = config_.bptt,
                .seed = config_.seed,
                .step = static_cast<std::uint64_t>(step)});
  BatchSize batch{.reviews = static_cast<std::int64_t>(size),
                  .tokens = static_cast<std::int64_t>(size) * data_.train.steps};
  if (!config_.preprocessing.mask) return batch;
  batch.tokens = 0;
  for (const std::int32_t row : std::span(order_).subspan(offset, size)) {
    batch.tokens += data_.train.lengths[static_cast<std::size_t>(row)];
  }
  return batch;
}

Evaluation ClassificationTask::evaluate(Model<float>& model, const Dataset& split, const Readout& readout) const {
  return reel::evaluate(model, split, config_.preprocessing.batch_padding(), config_.batch_size, readout);
}

std::vector<float> ClassificationTask::logits(Model<float>& model, const Dataset& split) const {
  const std::int64_t most = std::max<std::int64_t>(kMaxBatchValues / model.config().outputs, 1);
  const Padding padding = config_.preprocessing.batch_padding();
  if (split.size() <= most) return predict_logits(model, split, padding, config_.batch_size);
  return predict_logits(model, slice(split, 0, most), padding, config_.batch_size);
}

}  // namespace reel
