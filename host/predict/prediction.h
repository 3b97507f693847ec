// What a model says of a text, as a line of JSON has it.
#pragma once

#include <cstdint>
#include <span>

#include "host/files/json.h"
#include "host/predict/trained_model.h"

namespace reel {

/// Of two classes "logit", "probability" (of the second), "label" (0 or 1) and "name"; of more "logits",
/// "probabilities", "label" (the first of the likeliest) and "name"; of several labels "logits", "probabilities" and
/// "names", those that the text has; of a regression "value". `top` of 1 or more: instead of the lists "top", as many
/// {"name", "probability"}, the likeliest first. logits [C]. Throws Error where one is no number.
JsonMembers prediction(const TrainedModel& trained, std::span<const float> logits, std::int64_t top = 0);

}  // namespace reel
