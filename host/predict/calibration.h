// What a classifier's probabilities and decisions are adjusted by, found on rows that it was not trained on.
#pragma once

#include <cstdint>
#include <span>

namespace reel {

/// The temperature T in [kMinTemperature, kMaxTemperature] at which logits / T have the least log loss: Guo et al.,
/// ICML 2017, section 4.2. 1 where the loss does not depend on it, as that of no rows. The logits are finite numbers.
inline constexpr double kMinTemperature = 0.05, kMaxTemperature = 20;
/// Of one class a row: logits [N, width], labels [N]; `width` as ClassMeter has it (measures.h).
double fit_temperature(std::span<const float> logits, std::span<const std::int32_t> labels, std::int64_t width);
/// Of several labels a row, one temperature for all: logits [N, C], truth [N, C] of 0 and 1.
double fit_temperature(std::span<const float> logits, std::span<const float> truth);

enum class ThresholdGoal { kAccuracy, kF1 };  // F1 of the rows of label 1

/// The threshold that decides best by sigmoids of logits [N], as the meters do (measures.h), for labels [N] of 0 and 1.
/// It is half-way between two probabilities that are neighbours, or between the lowest and 0, or the highest and 1: of
/// thresholds that are equally good the nearest to 0.5, then the lower. 0.5 of no rows. No logit is NaN.
double best_threshold(std::span<const float> logits, std::span<const std::int32_t> labels, ThresholdGoal goal);

}  // namespace reel
