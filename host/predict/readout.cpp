#include "host/predict/readout.h"

#include <algorithm>
#include <cmath>

#include "host/files/json.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr const char *kTemperature = "temperature", *kThresholds = "thresholds", *kMean = "target_mean",
                     *kScale = "target_scale";
constexpr double kLargest = 1e30, kSmallest = 1e-30;

std::string text_of(const std::vector<double>& numbers) {
  std::string text = to_json({{"", json_array(numbers)}});  // {"":[...]}
  return text.substr(4, text.size() - 5);
}

}  // namespace

Metadata to_metadata(const Readout& readout) {
  Metadata metadata;
  const Readout usual;
  if (readout.temperature != usual.temperature) metadata[kTemperature] = fmt::format("{}", readout.temperature);
  if (!readout.thresholds.empty()) metadata[kThresholds] = text_of(readout.thresholds);
  if (readout.mean != usual.mean) metadata[kMean] = fmt::format("{}", readout.mean);
  if (readout.scale != usual.scale) metadata[kScale] = fmt::format("{}", readout.scale);
  return metadata;
}

Readout readout_of(const Metadata& metadata, const ModelConfig& config, const std::string& where) {
  Readout readout;
  const auto numbers = [&](const char* key, std::size_t count, double least, double most) {
    std::vector<double> found;
    const auto entry = metadata.find(key);
    if (entry == metadata.end()) return found;
    const std::string at = fmt::format("{}: metadata '{}'", where, key);
    const bool list = entry->second.starts_with('[');
    const JsonValue json = parse_json("{\"numbers\":" + (list ? entry->second : "[" + entry->second + "]") + "}", at);
    found = numbers_at(json, "numbers", at);
    const bool within = std::ranges::all_of(found, [&](double number) { return number >= least && number <= most; });
    if (found.size() != count || !within) {
      fail("{}: '{}', expected {} number{} from {} to {}", at, excerpt(entry->second), count, count == 1 ? "" : "s",
           least, most);
    }
    return found;
  };
  const auto one = [&](const char* key, double& number, double least, double most) {
    const std::vector<double> found = numbers(key, 1, least, most);
    if (!found.empty()) number = found.front();
  };
  one(kTemperature, readout.temperature, kSmallest, kLargest);
  one(kMean, readout.mean, -kLargest, kLargest);
  one(kScale, readout.scale, kSmallest, kLargest);
  const bool of_columns = config.loss() == Loss::kSigmoid;
  readout.thresholds = numbers(kThresholds, of_columns ? static_cast<std::size_t>(config.outputs) : 0, 0, 1);
  return readout;
}

Readout standardise(Targets& targets, const std::string& where) {
  Readout readout;
  const auto n = static_cast<double>(targets.values.size());
  if (targets.values.empty()) return readout;
  double sum = 0, squares = 0;
  for (const float value : targets.values) sum += static_cast<double>(value);
  readout.mean = sum / n;
  for (const float value : targets.values) squares += std::pow(static_cast<double>(value) - readout.mean, 2);
  const auto [least, most] = std::ranges::minmax(targets.values);
  if (least < most) readout.scale = std::sqrt(squares / n);
  if (std::abs(readout.mean) > kLargest || !(readout.scale >= kSmallest && readout.scale <= kLargest)) {
    fail("{}: numbers of mean {:.4g} and standard deviation {:.4g}, expected at most {:.0e}, and not below {:.0e}",
         where, readout.mean, readout.scale, kLargest, kSmallest);
  }
  for (float& value : targets.values) {
    value = static_cast<float>((static_cast<double>(value) - readout.mean) / readout.scale);
  }
  return readout;
}

Readout choose_readout(const ReadoutChoice& choice, const ModelConfig& config, std::span<const float> logits,
                       const Dataset& rows) {
  const auto C = static_cast<std::size_t>(config.outputs), N = logits.size() / C;
  const bool several = config.task == Task::kMultiLabel;
  const auto labels = std::span(rows.labels).first(N);
  Readout readout;
  if (choice.temperature) {
    readout.temperature = several ? fit_temperature(logits, rows.targets.dense(0, N, C))
                                  : fit_temperature(logits, labels, config.outputs);
  }
  if (!choice.thresholds) return readout;
  const std::vector<float> numbers = apply_readout(readout, config.task, logits);
  if (!several) {
    readout.thresholds = {best_threshold(numbers, labels, choice.goal)};
    return readout;
  }
  const std::vector<float> truth = rows.targets.dense(0, N, C);
  for (std::size_t c = 0; c < C; ++c) {
    std::vector<float> column;
    std::vector<std::int32_t> has;
    for (std::size_t i = 0; i < N; ++i) {
      column.push_back(numbers[i * C + c]);
      has.push_back(truth[i * C + c] > 0.5f ? 1 : 0);
    }
    readout.thresholds.push_back(best_threshold(column, has, ThresholdGoal::kF1));
  }
  return readout;
}

std::vector<float> apply_readout(const Readout& readout, Task task, std::span<const float> logits) {
  std::vector<float> numbers(logits.begin(), logits.end());
  for (float& number : numbers) {
    const auto logit = static_cast<double>(number);
    if (task == Task::kRegression) {
      number = static_cast<float>(readout.mean + readout.scale * logit);
    } else if (readout.temperature != 1) {
      number = static_cast<float>(logit / readout.temperature);
    }
  }
  return numbers;
}

}  // namespace reel
