#include "host/train/training_state.h"

#include "host/files/json.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr const char* kCursor = "cursor";

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

}  // namespace reel
