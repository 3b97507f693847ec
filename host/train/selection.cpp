#include "host/train/selection.h"

#include <algorithm>
#include <optional>
#include <variant>

#include "kernels/check.h"

namespace reel {

double selection_score(BestBy by, Task task, const Scores& validation) {
  if (by == BestBy::kAuto) by = task == Task::kClassify ? BestBy::kAccuracy : BestBy::kLoss;
  if (by == BestBy::kAccuracy) return validation.accuracy.value();
  return by == BestBy::kMacroF1 ? validation.macro_f1.value() : -validation.loss;
}

Selection select_readout(const TrainConfig& config, std::span<const float> logits, const Dataset& validation) {
  const ThresholdGoal goal = config.best_by == BestBy::kMacroF1 ? ThresholdGoal::kF1 : ThresholdGoal::kAccuracy;
  Selection selection;
  selection.readout =
      choose_readout({.temperature = config.calibrate, .thresholds = config.find_threshold, .goal = goal}, config.model,
                     logits, validation);
  const Readout& readout = selection.readout;
  if (config.calibrate) {
    const Dataset rows = slice(validation, 0, std::ssize(logits) / config.model.outputs);
    const auto measures = [&](const Readout& how) {
      Meter meter(config.model, how);
      meter.add(logits, rows);
      return std::get<Measures>(meter.finish().measures);
    };
    const Measures before = measures({}), after = measures({.temperature = readout.temperature});
    selection.text = fmt::format("  temperature {:.3f} (log loss {:.4f} to {:.4f}", readout.temperature,
                                 before.log_loss, after.log_loss);
    if (before.expected_calibration_error && after.expected_calibration_error) {
      selection.text += fmt::format(", calibration error {:.4f} to {:.4f}", *before.expected_calibration_error,
                                    *after.expected_calibration_error);
    }
    selection.text += ')';
  }
  if (readout.thresholds.size() == 1) selection.text += fmt::format("  threshold {:.3f}", readout.thresholds.front());
  if (readout.thresholds.size() > 1) {
    const auto [least, most] = std::ranges::minmax(readout.thresholds);
    selection.text += fmt::format("  thresholds {:.3f} to {:.3f}", least, most);
  }
  return selection;
}

std::string scores_text(const char* split, const Scores& scores, const LabelSet& labels) {
  std::string text = fmt::format("  {} loss {:.4f}", split, scores.loss);
  if (scores.accuracy) text += fmt::format(" accuracy {:.2f} %", 100 * *scores.accuracy);
  if (scores.macro_f1 && !labels.is_binary()) text += fmt::format(" macro F1 {:.4f}", *scores.macro_f1);
  return text;
}

}  // namespace reel
