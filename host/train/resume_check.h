// Whether a run may go on from a checkpoint.
#pragma once

#include "host/model/checkpoint.h"
#include "host/train/config.h"
#include "host/train/run_folder.h"
#include "host/train/training_data.h"
#include "host/train/training_state.h"

namespace reel {

/// Throws Error where the state is of other flags, data or words than the run has now, or of counts that such a run
/// cannot have. `steps_per_epoch` is that of the data.
void check_resumable(const TrainingState& state, const Cursor& cursor, const RunFolder& folder,
                     const TrainConfig& config, const TrainingData& data, std::int64_t steps_per_epoch);

}  // namespace reel
