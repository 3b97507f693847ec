// What a device would do in one step of a training run.
#pragma once

#include "host/train/config.h"
#include "kernels/backend.h"

namespace reel {

/// Of batches of `config.batch_size` full rows; `config.model.vocabulary` is that of the data. Takes the memory of a
/// training run, but runs nothing.
Plan plan_step(Backend<float>& backend, const TrainConfig& config);

}  // namespace reel
