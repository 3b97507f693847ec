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
      device_order_(backend.allocate<std::int32_t>(data.train.size())),
      clock_(backend.allocate<StepClock>(2)) {}

std::int64_t ClassificationTask::steps_per_epoch() const {
  return (data_.train.size() + config_.batch_size - 1) / config_.batch_size;
}

void ClassificationTask::begin_epoch(std::int64_t epoch, std::int64_t step, std::int64_t slot) {
  if (config_.shuffle) {
    order_ = random_order(
        {.seed = config_.seed, .stream = RandomStream::kShuffle, .step = static_cast<std::uint64_t>(epoch)},
        data_.train.size());
  } else {
    order_.resize(static_cast<std::size_t>(data_.train.size()));
    std::iota(order_.begin(), order_.end(), 0);
  }
  backend_.upload(std::span<const std::int32_t>(order_), device_order_.span());
  const std::int64_t row = (step - epoch * steps_per_epoch()) * config_.batch_size;
  const StepClock next{.step = step, .row = row, .slot = slot};
  backend_.upload(std::span(&next, 1), clock_.span(1, 1));
}

ClassificationTask::BatchSize ClassificationTask::batch_size(std::int64_t step) const {
  REEL_CHECK(!order_.empty(), "a batch before begin_epoch()");
  const std::int64_t first = step % steps_per_epoch() * config_.batch_size;
  const std::int64_t size = std::min(config_.batch_size, data_.train.size() - first);
  BatchSize batch{.reviews = size, .tokens = size * data_.train.steps};
  if (!config_.preprocessing.mask) return batch;
  batch.tokens = 0;
  for (const std::int32_t row :
       std::span(order_).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(size))) {
    batch.tokens += data_.train.lengths[static_cast<std::size_t>(row)];
  }
  return batch;
}

void ClassificationTask::select(Model<float>& model, std::int64_t reviews, std::int64_t slots) {
  backend_.run(BeginStep{.clock = clock_.span(), .rows = reviews, .slots = slots});
  model.select(device_data_, device_order_.span(),
               {.clock = clock(),
                .rows = reviews,
                .padding = config_.preprocessing.batch_padding(),
                .word_dropout = config_.word_dropout,
                .unknown_id = std::max(config_.preprocessing.load.oov_char, 0),
                .dropout = config_.dropout,
                .embedding_dropout = config_.embedding_dropout,
                .layer_dropout = config_.layer_dropout,
                .variational = config_.variational,
                .bptt = config_.bptt,
                .seed = config_.seed});
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
