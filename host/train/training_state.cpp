#include "host/train/training_state.h"

#include "host/files/json.h"
#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr const char* kCursor = "cursor";

std::optional<double> optional_number(const JsonValue& object, std::string_view key, const std::string& where) {
  if (object.find_if<std::nullptr_t>(key) != nullptr) return {};
  return number_at(object, key, where);
}

/// As 0.1.0 wrote them, of two classes.
Scores counted_scores(const JsonValue& counts, const std::string& where) {
  const auto count = [&](const char* key) {
    const std::int64_t rows = integer_at(counts, key, where);
    if (rows < 0 || rows > kMaxDatasetSteps) fail("{}: '{}' is {}: counts that no reviews have", where, key, rows);
    return rows;
  };
  const std::int64_t tp = count("tp"), fp = count("fp"), tn = count("tn"), fn = count("fn");
  const ClassMeasures positive{.actual = tp + fn, .predicted = tp + fp, .right = tp},
      negative{.actual = tn + fp, .predicted = tn + fn, .right = tn};
  Scores scores{.reviews = tp + fp + tn + fn};
  if (scores.reviews == 0) return scores;
  scores.accuracy = static_cast<double>(tp + tn) / static_cast<double>(scores.reviews);
  scores.macro_f1 = (positive.f1() + negative.f1()) / 2;
  return scores;
}

}  // namespace

Metadata to_metadata(const Cursor& c) {
  JsonMembers json = {{"config", c.config},
                      {"data_checksum", c.data_checksum},
                      {"weights_checksum", c.weights_checksum},
                      {"step", c.step},
                      {"epochs_done", c.epochs_done},
                      {"best_epoch", c.best_epoch},
                      {"epochs_without_gain", c.epochs_without_gain},
                      {"best_score", json_optional(c.best_score)},
                      {"epoch_seconds", json_array(c.epoch_seconds)},
                      {"measured_reviews", c.measured_reviews},
                      {"measured_tokens", c.measured_tokens},
                      {"measured_seconds", c.measured_seconds}};
  if (const auto& e = c.best_test) {
    json.emplace_back("best_test", JsonValue::Object{{"reviews", e->reviews},
                                                     {"loss", e->loss},
                                                     {"accuracy", json_optional(e->accuracy)},
                                                     {"macro_f1", json_optional(e->macro_f1)},
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
           .weights_checksum = json.find("weights_checksum") ? string_at(json, "weights_checksum", cursor) : "",
           .step = integer("step"),
           .epochs_done = integer("epochs_done"),
           .best_epoch = integer("best_epoch"),
           .epochs_without_gain = integer("epochs_without_gain"),
           .epoch_seconds = numbers_at(json, "epoch_seconds", cursor),
           .measured_reviews = within_window ? integer("measured_reviews") : 0,
           .measured_tokens = within_window ? integer("measured_tokens") : 0,
           .measured_seconds = within_window ? number_at(json, "measured_seconds", cursor) : 0};
  if (json.find("best_accuracy") == nullptr) {
    c.best_score = optional_number(json, "best_score", cursor);
  } else if (const double accuracy = number_at(json, "best_accuracy", cursor); accuracy >= 0) {  // as 0.1.0 wrote it
    c.best_score = accuracy;
  }
  if (const JsonValue* const e = json.find("best_test")) {
    const std::string best = cursor + ": best_test";
    c.best_test = e->find("tp") != nullptr ? counted_scores(*e, best) : Scores{};
    if (e->find("tp") == nullptr) {
      c.best_test->reviews = integer_at(*e, "reviews", best);
      c.best_test->accuracy = optional_number(*e, "accuracy", best);
      c.best_test->macro_f1 = optional_number(*e, "macro_f1", best);
    }
    c.best_test->loss = number_at(*e, "loss", best);
    c.best_test->seconds = number_at(*e, "seconds", best);
    c.best_test->tokens = integer_at(*e, "tokens", best);
  }
  return c;
}

}  // namespace reel
