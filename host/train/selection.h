// What validation reviews decide: which epoch's weights are kept, and how these are read.
#pragma once

#include <span>
#include <string>

#include "host/predict/evaluate.h"
#include "host/train/config.h"

namespace reel {

/// Of validation scores: the more the better. Without a choice, the accuracy of classes, but the loss of several
/// labels, of which hardly a review has all right at first, and of a regression.
double selection_score(BestBy by, Task task, const Scores& validation);

struct Selection {
  Readout readout;
  std::string text;  // "  temperature 1.234 (log loss 0.456 to 0.345, calibration error 0.0567 to 0.0123)  threshold
                     // 0.456", for people
};
/// What --calibrate and --threshold auto ask for, by logits [N, C] of the first N validation reviews.
Selection select_readout(const TrainConfig& config, std::span<const float> logits, const Dataset& validation);

/// "  test loss 0.3456 accuracy 86.91 %", and of more than two classes their F1: " macro F1 0.8123".
std::string scores_text(const char* split, const Scores& scores, const LabelSet& labels);

}  // namespace reel
