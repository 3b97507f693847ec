#include "host/train/resume_check.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>

#include "host/files/file.h"
#include "host/files/toml.h"
#include "kernels/check.h"

namespace reel {
namespace {

/// Throws Error where config.toml is no longer what the checkpoint was made with, but for what may be said anew.
void check_same_flags(const std::string& saved, const RunFolder& folder) {
  if (saved.empty()) return;  // as 0.1.0 wrote it
  const std::string path = folder.config().string();
  auto then = parse_toml(saved, folder.state().string() + ": config"), now = parse_toml(folder.config_text(), path);
  for (const std::string_view key : kFreeOnResume) {
    then.erase(std::string(key));
    now.erase(std::string(key));
  }
  if (const auto products = then.find("mixed-products"); products != then.end() && products->second == "auto") {
    now.erase("mixed-products");  // chosen since: see train_command.cpp
    then.erase(products);
  }
  for (const auto& [key, value] : then) now.try_emplace(key, "");
  const auto text = [](const std::string& value) { return value.empty() ? "not given" : "'" + value + "'"; };
  for (const auto& [key, value] : now) {
    if (then[key] == value) continue;
    fail("{}: {} is {}, but was {} when the run began; a resumed run keeps the flags that it was started with", path,
         key, text(value), text(then[key]));
  }
}

constexpr double kLongest = 1e9;  // seconds

/// A checkpoint says where in which epoch it was made, and what was counted until then.
void check_counts(const Cursor& cursor, std::int64_t measured_steps, const std::string& state,
                  const TrainConfig& config, const TrainingData& data, std::int64_t steps_per_epoch) {
  const auto counts = [](std::initializer_list<std::int64_t> numbers, std::int64_t most) {
    return std::ranges::all_of(numbers, [most](std::int64_t n) { return n >= 0 && n <= most; });
  };
  const std::int64_t reviews = data.train.size(), tokens = reviews * data.train.steps;
  const std::optional<Scores>& e = cursor.best_test;
  if (!counts({cursor.epochs_done}, config.epochs) ||
      !counts({cursor.best_epoch, cursor.epochs_without_gain}, cursor.epochs_done) ||
      (cursor.best_epoch == 0 && cursor.epochs_done > 0) || !counts({cursor.measured_reviews}, reviews) ||
      !counts({cursor.measured_tokens}, tokens) || (e && e->reviews != data.test.size())) {
    fail("{}: counts that {} epochs of these reviews cannot have", state, config.epochs);
  }
  if (cursor.best_score && !(*cursor.best_score <= 1)) fail("{}: a best score of {}", state, *cursor.best_score);
  for (const std::optional<double>& share : {e ? e->accuracy : std::nullopt, e ? e->macro_f1 : std::nullopt}) {
    if (share && !(*share >= 0 && *share <= 1)) fail("{}: a test accuracy or F1 of {}", state, *share);
  }
  if (e && e->loss < 0) fail("{}: a test loss of {}", state, e->loss);
  std::vector<double> seconds = cursor.epoch_seconds;
  seconds.push_back(cursor.measured_seconds);
  if (e) seconds.push_back(e->seconds);
  const bool times = std::ranges::all_of(seconds, [](double s) { return s >= 0 && s < kLongest; });
  if (!times) fail("{}: times that no run takes", state);
  const std::int64_t first = cursor.epochs_done * steps_per_epoch;
  const bool began = std::ssize(cursor.epoch_seconds) == cursor.epochs_done + 1;
  if (cursor.step < first || cursor.step > first + (began ? steps_per_epoch : 0) ||
      (!began && std::ssize(cursor.epoch_seconds) != cursor.epochs_done) || measured_steps > cursor.step - first) {
    fail(
        "{}: step {} after {} epochs, but an epoch of these reviews has {} steps: expected the --batch-size and the "
        "data that the run was started with",
        state, cursor.step, cursor.epochs_done, steps_per_epoch);
  }
  if ((measured_steps == 0) != (cursor.measured_reviews == 0)) {
    fail("{}: {} steps of {} reviews since the last line of metrics.jsonl", state, measured_steps,
         cursor.measured_reviews);
  }
}

}  // namespace

void check_resumable(const TrainingState& state, const Cursor& cursor, const RunFolder& folder,
                     const TrainConfig& config, const TrainingData& data, std::int64_t steps_per_epoch) {
  check_same_flags(cursor.config, folder);
  if (cursor.data_checksum != data.checksum) {
    fail("{}: trained on data with checksum {}, but {} has {}", folder.path().string(), cursor.data_checksum,
         data.source, data.checksum);
  }
  if (cursor.weights_checksum != data.weights_checksum) {
    fail("{}: the file of --class-weights is not what it was when the run began", folder.path().string());
  }
  check_counts(cursor, std::ssize(state.measured), folder.state().string(), config, data, steps_per_epoch);
  if (is_there(folder.labels()) && read_file(folder.labels()) != label_names_text(data.labels)) {
    fail("{}: not the labels that the run was started with; remove it to have it made anew", folder.labels().string());
  }
  if (is_there(folder.vocabulary()) && read_file(folder.vocabulary()) != data.vocabulary.text()) {
    fail("{}: not the words that the run was started with; remove it to have it made anew",
         folder.vocabulary().string());
  }
}

}  // namespace reel
