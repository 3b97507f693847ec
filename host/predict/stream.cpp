#include "host/predict/stream.h"

#include <array>

#include "kernels/check.h"

namespace reel {

Stream::Stream(const TrainedModel& trained, Backend<float>& backend)
    : trained_(trained), model_(backend, trained.saved.config, 1, 1, trained.saved.parameters) {
  const ModelConfig& config = trained.saved.config;
  const auto refuse = [&](const std::string& why) {
    fail("--stream: {} needs the whole text: {}", trained.file.string(), why);
  };
  if (config.bidirectional) refuse("it reads it from both ends");
  if (config.pool != Pool::kLast) refuse(std::string("its pooling is ") + name_of(config.pool));
  if (!trained.preprocessing.mask) refuse("its padding is not masked");
  const std::vector<std::int32_t> start = trained.vocabulary.encode("");
  start_ids_ = start.size();
  model_.keep_state();
  for (const std::int32_t id : start) step(id);
}

void Stream::step(std::int32_t id) {
  const std::array ids = {id}, lengths = {std::int32_t{1}};
  model_.load(ids, lengths, {});
  model_.forward();
  logits_.emplace(model_.logits().size());
  model_.backend().download(model_.logits(), std::span(*logits_));
  model_.carry_state();
}

std::optional<std::vector<float>> Stream::next(std::string_view word) {
  const std::vector<std::int32_t> ids = trained_.vocabulary.encode(word);
  for (std::size_t i = start_ids_; i < ids.size(); ++i) step(ids[i]);
  return logits_;
}

}  // namespace reel
