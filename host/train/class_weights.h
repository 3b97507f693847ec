// How much a class counts in training.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "host/text/dataset.h"

namespace reel {

/// For each class, so that all count alike together: N / (C n) where n of N rows have it, shares of soft labels
/// included (scikit-learn's "balanced"); of each of several labels (N - n) / n, which rows that have it are multiplied
/// by (PyTorch's pos_weight). 1 of a class that no row has, and of a label that all rows have.
std::vector<float> balanced_weights(const LabelSet& labels, const Dataset& rows);

/// Lines of a class's name, as LabelIndex finds it, blanks and its weight, a number from 0; each class once, in any
/// order. Throws Error with path and line where they are something else.
std::vector<float> parse_class_weights(std::string_view text, const std::string& where, const LabelSet& labels);

/// Makes rows count as their classes do, on top of the weights that they have. Soft labels keep their proportions,
/// times the weights of their classes. Not of several labels, whose weights go to the loss.
void apply_class_weights(const std::vector<float>& weights, const LabelSet& labels, Dataset& rows);

}  // namespace reel
