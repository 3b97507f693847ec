// How what a model computes is read: what was chosen on validation reviews, and the units of a regression.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "host/model/checkpoint.h"
#include "host/predict/calibration.h"
#include "host/text/dataset.h"

namespace reel {

struct Readout {
  double temperature = 1;          // logits are divided by it
  std::vector<double> thresholds;  // of probabilities: one of the second of two classes, or one a label; none: 0.5
  double mean = 0, scale = 1;      // of a regression, whose number is mean + scale * output

  double threshold(std::size_t label) const { return thresholds.empty() ? 0.5 : thresholds[label]; }
  bool operator==(const Readout&) const = default;
};

/// Entries of a trained model's metadata; none of what is as it is by default.
Metadata to_metadata(const Readout& readout);
/// Throws Error, which begins with `where`, when an entry is wrong for such a model.
Readout readout_of(const Metadata& metadata, const ModelConfig& config, const std::string& where);

/// What a regression is trained towards: numbers whose mean is 0, and whose mean square is 1 unless all are equal.
/// `targets` become that; what is returned undoes it. Throws Error, which begins with `where`, of numbers beyond 1e30.
Readout standardise(Targets& targets, const std::string& where);

struct ReadoutChoice {
  bool temperature = false, thresholds = false;
  ThresholdGoal goal = ThresholdGoal::kAccuracy;  // of the threshold between two classes; F1 of several labels
};
/// Chooses on rows that the model was not trained on: logits [N, C]. Thresholds are of probabilities after the
/// temperature. Not of a regression; no thresholds of more than two classes.
Readout choose_readout(const ReadoutChoice& choice, const ModelConfig& config, std::span<const float> logits,
                       const Dataset& rows);

/// Logits, of any number of rows, as numbers to decide by: divided by the temperature, or in the units of the
/// regression.
std::vector<float> apply_readout(const Readout& readout, Task task, std::span<const float> logits);

}  // namespace reel
