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
    const Json json = parse_json(found->second, where + ": metadata '" + kCursor + "'");
    Cursor c{.config = json.value("config", std::string()),
             .data_checksum = json.at("data_checksum"),
             .step = json.at("step"),
             .epochs_done = json.at("epochs_done"),
             .best_epoch = json.at("best_epoch"),
             .epochs_without_gain = json.at("epochs_without_gain"),
             .best_accuracy = json.at("best_accuracy"),
             .epoch_seconds = json.at("epoch_seconds"),
             .measured_reviews = json.value("measured_reviews", std::int64_t{0}),
             .measured_tokens = json.value("measured_tokens", std::int64_t{0}),
             .measured_seconds = json.value("measured_seconds", 0.0)};
    if (json.contains("best_test")) {
      const Json& e = json["best_test"];
      c.best_test = Evaluation{.true_positive = e.at("tp"),
                               .false_positive = e.at("fp"),
                               .true_negative = e.at("tn"),
                               .false_negative = e.at("fn"),
                               .loss = e.at("loss"),
                               .seconds = e.at("seconds"),
                               .tokens = e.at("tokens")};
    }
    return c;
  } catch (const Json::exception& error) {
    fail("{}: metadata '{}': {}", where, kCursor, error.what());
  }
}

}  // namespace reel
