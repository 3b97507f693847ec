// Measures as JSON and as a text for a terminal.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "host/files/json.h"
#include "host/predict/measures.h"

namespace reel {

/// Members of an object: rows, accuracy, accuracy_low, accuracy_high, macro_f1, micro_f1, log_loss, roc_auc,
/// roc_auc_low, roc_auc_high, average_precision, expected_calibration_error, classes: [{name, precision, recall, f1,
/// actual, predicted, right}], and, single-label, confusion: [{actual, predicted, rows}] by name, where there are rows.
/// What is absent is null. names [C].
JsonMembers json_members(const Measures& measures, std::span<const std::string> names);
/// rows, mean_squared_error, mean_absolute_error, r2
JsonMembers json_members(const RegressionMeasures& measures);

inline constexpr std::size_t kMinReportColumns = 72;

/// Lines of at most `columns`; fewer than kMinReportColumns are taken for that. Up to 12 classes: all of them, and the
/// confusion matrix where it fits. Of more classes, by their rows, up to 40 all, else the 20 with the most rows and of
/// the others with rows the 20 with the lowest F1; and the ten most frequent confusions. names [C] in UTF-8; long ones
/// are cut.
std::string to_text(const Measures& measures, std::span<const std::string> names, std::size_t columns);
std::string to_text(const RegressionMeasures& measures);

/// `text` in exactly `columns` of a terminal, at least one: filled with blanks, or cut before an ellipsis. Its
/// characters take two columns (East Asian wide, emoji), none (combining) or one; control characters and invalid UTF-8
/// are replaced.
std::string in_columns(const std::string& text, std::size_t columns);

}  // namespace reel
