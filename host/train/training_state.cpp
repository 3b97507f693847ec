#include "host/train/training_state.h"

#include "host/files/json.h"
#include "kernels/check.h"

namespace reel {
namespace {

using Json = nlohmann::json;

constexpr const char* kCursor = "cursor";

}  // namespace

Metadata to_metadata(const Cursor& c) {
  Json json = {{"config", c.config},
               {"data_checksum", c.data_checksum},
               {"step", c.step},
               {"epochs_done", c.epochs_done},
               {"best_epoch", c.best_epoch},
               {"epochs_without_gain", c.epochs_without_gain},
               {"best_accuracy", c.best_accuracy},
               {"epoch_seconds", c.epoch_seconds},
               {"measured_reviews", c.measured_reviews},
               {"measured_tokens", c.measured_tokens},
               {"measured_seconds", c.measured_seconds}};
  if (const auto& e = c.best_test) {
    json["best_test"] = {{"tp", e->true_positive},  {"fp", e->false_positive}, {"tn", e->true_negative},
                         {"fn", e->false_negative}, {"loss", e->loss},         {"seconds", e->seconds},
                         {"tokens", e->tokens}};
  }
  return {{kCursor, json.dump()}};
}

Cursor cursor_of(const Metadata& metadata, const std::string& where) {
  const auto found = metadata.find(kCursor);
  if (found == metadata.end()) fail("{}: no metadata '{}': not a training state", where, kCursor);
  try {
    const std::string place = where + ": metadata '" + kCursor + "'";
    const Json json = parse_json(found->second, place);
    if (!json.is_object()) fail("{} is no object", place);
    const auto integer = [&](const Json& object, const char* key) { return integer_at(object, key, place); };
    const bool within_window = json.contains("measured_reviews");
    Cursor c{.config = json.value("config", std::string()),
             .data_checksum = json.at("data_checksum"),
             .step = integer(json, "step"),
             .epochs_done = integer(json, "epochs_done"),
             .best_epoch = integer(json, "best_epoch"),
             .epochs_without_gain = integer(json, "epochs_without_gain"),
             .best_accuracy = json.at("best_accuracy"),
             .epoch_seconds = json.at("epoch_seconds"),
             .measured_reviews = within_window ? integer(json, "measured_reviews") : 0,
             .measured_tokens = within_window ? integer(json, "measured_tokens") : 0,
             .measured_seconds = json.value("measured_seconds", 0.0)};
    if (json.contains("best_test")) {
      const Json& e = json["best_test"];
      c.best_test = Evaluation{.true_positive = integer(e, "tp"),
                               .false_positive = integer(e, "fp"),
                               .true_negative = integer(e, "tn"),
                               .false_negative = integer(e, "fn"),
                               .loss = e.at("loss"),
                               .seconds = e.at("seconds"),
                               .tokens = integer(e, "tokens")};
    }
    return c;
  } catch (const Json::exception& error) {
    fail("{}: metadata '{}': {}", where, kCursor, error.what());
  }
}

}  // namespace reel
