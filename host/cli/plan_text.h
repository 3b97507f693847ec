// The plan of a training step, for people and as JSON.
#pragma once

#include <string>

#include "host/train/config.h"
#include "kernels/backend.h"

namespace reel {

/// A line for each node, of which those of the critical path are marked, and their sums.
std::string to_text(const Plan& plan);

/// The same on one line, with what the step is of.
std::string to_json(const Plan& plan, const TrainConfig& config, Precision precision, const DeviceInfo& device);

}  // namespace reel
