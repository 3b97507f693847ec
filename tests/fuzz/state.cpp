// Checkpoints.
#include "host/train/training_state.h"
#include "tests/fuzz/fuzz.h"

REEL_FUZZ({
  const reel::fuzz::File file(text);
  const reel::TrainingState state = reel::load_training_state(file.path());
  reel::cursor_of(state.values, "state");
})
