#include "host/model/batch.h"

#include "kernels/check.h"

namespace reel {
namespace {

template <class Span>
auto first(Span buffer, std::int64_t count) {
  return buffer.first(static_cast<std::size_t>(count));
}

}  // namespace

DeviceDataset to_device(Device& device, const Dataset& dataset) {
  DeviceDataset copied{.reviews = dataset.size(), .steps = dataset.steps};
  const auto copy = [&](const std::vector<std::int32_t>& from, Buffer<std::int32_t>& to) {
    to = device.allocate<std::int32_t>(static_cast<std::int64_t>(from.size()));
    device.upload(std::span<const std::int32_t>(from), to.span());
  };
  copy(dataset.ids, copied.ids);
  copy(dataset.lengths, copied.lengths);
  copy(dataset.labels, copied.labels);
  return copied;
}

Batch::Batch(Device& device, std::int64_t max_batch, std::int64_t max_steps)
    : max_steps_(max_steps),
      ids_(device.allocate<std::int32_t>(max_batch * max_steps)),
      lengths_(device.allocate<std::int32_t>(max_batch)),
      labels_(device.allocate<std::int32_t>(max_batch)) {}

void Batch::begin(std::int64_t batch, std::int64_t steps, const BatchOptions& options) {
  REEL_CHECK(batch <= max_batch() && steps <= max_steps_, "batch of {} x {}, room for {} x {}", batch, steps,
             max_batch(), max_steps_);
  shape_ = {.batch = batch, .steps = steps};
  options_ = options;
}

template <class Real>
void Batch::select(Backend<Real>& backend, const DeviceDataset& data, std::span<const std::int32_t> rows,
                   const BatchOptions& options) {
  begin(static_cast<std::int64_t>(rows.size()), data.steps, options);
  backend.run(
      SelectRows{.shape = shape_,
                 .data_ids = data.ids.span(),
                 .data_lengths = data.lengths.span(),
                 .data_labels = data.labels.span(),
                 .rows = rows,
                 .padding = options.padding,
                 .word_dropout = options.word_dropout,
                 .unknown_id = options.unknown_id,
                 .word_dropout_key = {.seed = options.seed, .stream = RandomStream::kWordDropout, .step = options.step},
                 .ids = first(ids_.span(), positions()),
                 .lengths = first(lengths_.span(), shape_.batch),
                 .labels = first(labels_.span(), shape_.batch)});
}

void Batch::load(Device& device, std::span<const std::int32_t> ids, std::span<const std::int32_t> lengths,
                 const BatchOptions& options) {
  const std::size_t steps = lengths.empty() ? 0 : ids.size() / lengths.size();
  begin(static_cast<std::int64_t>(lengths.size()), static_cast<std::int64_t>(steps), options);
  device.upload(ids, first(ids_.span(), positions()));
  device.upload(lengths, first(lengths_.span(), shape_.batch));
}

std::span<const std::int32_t> Batch::ids() const { return first(ids_.span(), positions()); }
std::span<const std::int32_t> Batch::lengths() const { return first(lengths_.span(), shape_.batch); }
std::span<const std::int32_t> Batch::labels() const { return first(labels_.span(), shape_.batch); }

template void Batch::select(Backend<float>&, const DeviceDataset&, std::span<const std::int32_t>, const BatchOptions&);
template void Batch::select(Backend<double>&, const DeviceDataset&, std::span<const std::int32_t>, const BatchOptions&);

}  // namespace reel
