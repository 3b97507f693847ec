#include "host/predict/prediction.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "host/predict/measures.h"
#include "kernels/check.h"

namespace reel {
namespace {

std::vector<double> sigmoids(std::span<const double> logits) {
  std::vector<double> probabilities;
  for (const double x : logits) probabilities.push_back(1 / (1 + std::exp(-x)));
  return probabilities;
}

std::vector<double> softmax(std::span<const double> logits) {
  const double largest = std::ranges::max(logits);
  std::vector<double> probabilities;
  for (const double x : logits) probabilities.push_back(std::exp(x - largest));
  const double sum = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  for (double& p : probabilities) p /= sum;
  return probabilities;
}

JsonValue likeliest(const std::vector<std::string>& names, const std::vector<double>& probabilities, std::int64_t top) {
  std::vector<std::size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto count = static_cast<std::ptrdiff_t>(std::min(static_cast<std::size_t>(top), order.size()));
  std::ranges::partial_sort(order, order.begin() + count, [&](std::size_t a, std::size_t b) {
    return probabilities[a] != probabilities[b] ? probabilities[a] > probabilities[b] : a < b;
  });
  JsonValue::Array list;
  for (const std::size_t c : std::span(order).first(static_cast<std::size_t>(count))) {
    list.emplace_back(JsonValue::Object{{"name", names[c]}, {"probability", probabilities[c]}});
  }
  return list;
}

}  // namespace

JsonMembers prediction(const TrainedModel& trained, std::span<const float> logits, std::int64_t top) {
  const std::vector<std::string>& names = trained.labels.names;
  for (const float logit : logits) {
    if (!std::isfinite(logit)) fail("{}: the model gives {}, which is no number", trained.file.string(), logit);
  }
  const Readout& readout = trained.readout;
  const std::vector<float> numbers = apply_readout(readout, trained.labels.task, logits);
  const std::vector<double> raw(logits.begin(), logits.end()), scaled(numbers.begin(), numbers.end());
  if (trained.labels.task == Task::kRegression) return {{"value", scaled[0]}};
  if (trained.labels.is_binary()) {
    const double probability = sigmoids(scaled)[0];
    const std::size_t label = scaled[0] > decision_logit(readout.threshold(0)) ? 1 : 0;
    JsonMembers members = {{"logit", raw[0]}, {"probability", probability}, {"label", label}, {"name", names[label]}};
    if (top > 0) members.emplace_back("top", likeliest(names, {1 - probability, probability}, top));
    return members;
  }
  const bool several = trained.labels.task == Task::kMultiLabel;
  const std::vector<double> probabilities = several ? sigmoids(scaled) : softmax(scaled);
  JsonMembers members;
  if (top == 0) members = {{"logits", json_array(raw)}, {"probabilities", json_array(probabilities)}};
  if (several) {
    JsonValue::Array has;
    for (std::size_t c = 0; c < scaled.size(); ++c) {
      if (scaled[c] > decision_logit(readout.threshold(c))) has.emplace_back(names[c]);
    }
    members.emplace_back("names", std::move(has));
  } else {
    const auto label = static_cast<std::size_t>(std::ranges::max_element(scaled) - scaled.begin());
    members.emplace_back("label", label);
    members.emplace_back("name", names[label]);
  }
  if (top > 0) members.emplace_back("top", likeliest(names, probabilities, top));
  return members;
}

}  // namespace reel
