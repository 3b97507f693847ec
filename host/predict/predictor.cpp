#include "host/predict/predictor.h"

#include <algorithm>
#include <future>
#include <thread>
#include <utility>

#include "kernels/check.h"

namespace reel {
namespace {

constexpr std::size_t kTextsForACore = 16;  // that are worth a thread

}  // namespace

Predictor::Predictor(TrainedModel trained, Backend<float>& backend, std::size_t most)
    : trained_(std::move(trained)),
      backend_(backend),
      room_(static_cast<std::size_t>(rows_at_once(trained_, static_cast<std::int64_t>(std::min(most, kMostInputs)),
                                                  trained_.preprocessing.maxlen))),
      model_(backend, trained_.saved.config, static_cast<std::int64_t>(room_), trained_.preprocessing.maxlen,
             trained_.saved.parameters) {}

std::vector<float> Predictor::run() {
  if (!texts_.empty()) encode_texts();
  if (batch_.empty()) return {};
  const Preprocessing& how = trained_.preprocessing;
  // The model takes rows left-aligned; unmasked padding is part of the row.
  const Padding padding = how.mask ? Padding::kPost : how.padding;
  const std::vector<std::int32_t> ids = pad_sequences(batch_, how.maxlen, padding, how.truncating);
  std::vector<std::int32_t> lengths;
  for (const auto& review : batch_) {
    const auto length = std::min(static_cast<std::int64_t>(review.size()), how.maxlen);
    lengths.push_back(static_cast<std::int32_t>(how.mask ? length : how.maxlen));
  }
  model_.load(ids, lengths, {});
  inference_.run();
  std::vector<float> logits(batch_.size() * static_cast<std::size_t>(model_.config().outputs));
  backend_.download(model_.logits(), std::span(logits));
  batch_.clear();
  return logits;
}

/// Each core its share: reading words takes a third as long as classifying them.
void Predictor::encode_texts() {
  const std::size_t ids = batch_.size();  // come first
  batch_.resize(ids + texts_.size());
  const DeviceInfo device = backend_.info();
  const std::size_t threads = device.kind == DeviceKind::kCpu ? static_cast<std::size_t>(device.threads)
                                                              : std::max(1u, std::thread::hardware_concurrency());
  const std::size_t cores = std::clamp<std::size_t>(texts_.size() / kTextsForACore, 1, threads);
  const auto encode_share = [&](std::size_t share) {
    for (std::size_t i = share; i < texts_.size(); i += cores) batch_[ids + i] = trained_.vocabulary.encode(texts_[i]);
  };
  std::vector<std::future<void>> others;
  for (std::size_t share = 1; share < cores; ++share) {
    others.push_back(std::async(std::launch::async, encode_share, share));
  }
  encode_share(0);
  for (std::future<void>& other : others) other.get();
  texts_.clear();
}

}  // namespace reel
