#include "host/model/batch.h"

#include "kernels/check.h"

namespace reel {

DeviceDataset to_device(Device& device, const Dataset& dataset) {
  DeviceDataset copied{.steps = dataset.steps};
  const auto copy = [&]<class T>(const std::vector<T>& from, Buffer<T>& to) {
    to = device.allocate<T>(static_cast<std::int64_t>(from.size()));
    device.upload(std::span<const T>(from), to.span());
  };
  copy(dataset.ids, copied.ids);
  copy(dataset.lengths, copied.lengths);
  if (dataset.targets.empty()) {
    copy(dataset.labels, copied.labels);
  } else {
    copy(dataset.targets.begin, copied.target_begin);
    copy(dataset.targets.columns, copied.target_columns);
    copy(dataset.targets.values, copied.target_values);
  }
  if (!dataset.weights.empty()) copy(dataset.weights, copied.weights);
  return copied;
}

Batch::Batch(Device& device, std::int64_t max_batch, std::int64_t max_steps, std::int64_t outputs)
    : largest_{max_batch, max_steps},
      outputs_(outputs),
      ids_(device.allocate<std::int32_t>(max_batch * max_steps)),
      lengths_(device.allocate<std::int32_t>(max_batch)),
      by_length_(device.allocate<std::int32_t>(max_batch)),
      labels_(device.allocate<std::int32_t>(max_batch)),
      targets_(device.allocate<float>(max_batch * outputs)),
      weights_(device.allocate<float>(max_batch)) {}

void Batch::begin(const BatchShape& shape, const BatchOptions& options) {
  REEL_CHECK(shape.batch <= largest_.batch && shape.steps <= largest_.steps, "batch of {} x {}, room for {} x {}",
             shape.batch, shape.steps, largest_.batch, largest_.steps);
  shape_ = shape;
  options_ = options;
  has_order_ = has_labels_ = has_targets_ = has_weights_ = false;
}

void Batch::load(Device& device, std::span<const std::int32_t> ids, std::span<const std::int32_t> lengths,
                 const BatchOptions& options) {
  const std::size_t steps = lengths.empty() ? 0 : ids.size() / lengths.size();
  begin({static_cast<std::int64_t>(lengths.size()), static_cast<std::int64_t>(steps)}, options);
  device.upload(ids, ids_.first(positions()));
  device.upload(lengths, lengths_.first(shape_.batch));
}

}  // namespace reel
