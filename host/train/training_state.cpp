#include "host/train/training_state.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>

#include "host/files/json.h"
#include "host/files/toml.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr const char* kCursor = "cursor";

/// Throws Error where config.toml is no longer what the checkpoint was made with, but for what may be said anew.
void check_same_flags(const std::string& saved, const RunFolder& folder) {
  if (saved.empty()) return;  // as 0.1.0 wrote it
  const std::string path = folder.config().string();
  auto then = parse_toml(saved, folder.state().string() + ": config"), now = parse_toml(folder.config_text(), path);
  for (const std::string_view key : kFreeOnResume) {
    then.erase(std::string(key));
    now.erase(std::string(key));
  }
  for (const auto& [key, value] : then) now.try_emplace(key, "");
  for (const auto& [key, value] : now) {
    if (then[key] == value) continue;
    fail("{}: {} is '{}', but was '{}' when the run began; a resumed run keeps the flags that it was started with",
         path, key, value, then[key]);
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
  const std::optional<Evaluation>& e = cursor.best_test;
  if (!counts({cursor.epochs_done}, config.epochs) ||
      !counts({cursor.best_epoch, cursor.epochs_without_gain}, cursor.epochs_done) ||
      (cursor.best_epoch == 0 && cursor.epochs_done > 0) || !counts({cursor.measured_reviews}, reviews) ||
      !counts({cursor.measured_tokens}, tokens) ||
      (e && !(counts({e->true_positive, e->false_positive, e->true_negative, e->false_negative}, data.test.size()) &&
              e->reviews() == data.test.size()))) {
    fail("{}: counts that {} epochs of these reviews cannot have", state, config.epochs);
  }
  const bool had_best = cursor.best_accuracy >= 0 && cursor.best_accuracy <= 1;
  if (!had_best && cursor.best_accuracy != -1) fail("{}: a best accuracy of {}", state, cursor.best_accuracy);
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

Metadata to_metadata(const Cursor& c) {
  JsonMembers json = {{"config", c.config},
                      {"data_checksum", c.data_checksum},
                      {"step", c.step},
                      {"epochs_done", c.epochs_done},
                      {"best_epoch", c.best_epoch},
                      {"epochs_without_gain", c.epochs_without_gain},
                      {"best_accuracy", c.best_accuracy},
                      {"epoch_seconds", json_array(c.epoch_seconds)},
                      {"measured_reviews", c.measured_reviews},
                      {"measured_tokens", c.measured_tokens},
                      {"measured_seconds", c.measured_seconds}};
  if (const auto& e = c.best_test) {
    json.emplace_back("best_test", JsonValue::Object{{"tp", e->true_positive},
                                                     {"fp", e->false_positive},
                                                     {"tn", e->true_negative},
                                                     {"fn", e->false_negative},
                                                     {"loss", e->loss},
                                                     {"seconds", e->seconds},
                                                     {"tokens", e->tokens}});
  }
  return {{kCursor, to_json(json)}};
}

Cursor cursor_of(const Metadata& metadata, const std::string& where) {
  const auto found = metadata.find(kCursor);
  if (found == metadata.end()) fail("{}: no metadata '{}': not a training state", where, kCursor);
  const std::string cursor = where + ": metadata '" + kCursor + "'";
  const JsonValue json = parse_json(found->second, cursor);
  const auto integer = [&](const char* key) { return integer_at(json, key, cursor); };
  const bool within_window = json.find("measured_reviews") != nullptr;  // older checkpoints have none
  Cursor c{.config = json.find("config") ? string_at(json, "config", cursor) : "",
           .data_checksum = string_at(json, "data_checksum", cursor),
           .step = integer("step"),
           .epochs_done = integer("epochs_done"),
           .best_epoch = integer("best_epoch"),
           .epochs_without_gain = integer("epochs_without_gain"),
           .best_accuracy = number_at(json, "best_accuracy", cursor),
           .epoch_seconds = numbers_at(json, "epoch_seconds", cursor),
           .measured_reviews = within_window ? integer("measured_reviews") : 0,
           .measured_tokens = within_window ? integer("measured_tokens") : 0,
           .measured_seconds = within_window ? number_at(json, "measured_seconds", cursor) : 0};
  if (const JsonValue* const e = json.find("best_test")) {
    const std::string best = cursor + ": best_test";
    c.best_test = Evaluation{.true_positive = integer_at(*e, "tp", best),
                             .false_positive = integer_at(*e, "fp", best),
                             .true_negative = integer_at(*e, "tn", best),
                             .false_negative = integer_at(*e, "fn", best),
                             .loss = number_at(*e, "loss", best),
                             .seconds = number_at(*e, "seconds", best),
                             .tokens = integer_at(*e, "tokens", best)};
  }
  return c;
}

void check_resumable(const TrainingState& state, const Cursor& cursor, const RunFolder& folder,
                     const TrainConfig& config, const TrainingData& data, std::int64_t steps_per_epoch) {
  check_same_flags(cursor.config, folder);
  if (cursor.data_checksum != data.checksum) {
    fail("{}: trained on data with checksum {}, but {} has {}", folder.path().string(), cursor.data_checksum,
         data.source, data.checksum);
  }
  check_counts(cursor, std::ssize(state.measured), folder.state().string(), config, data, steps_per_epoch);
  if (is_there(folder.vocabulary()) && read_file(folder.vocabulary()) != data.vocabulary.text()) {
    fail("{}: not the words that the run was started with; remove it to have it made anew",
         folder.vocabulary().string());
  }
}

}  // namespace reel
