#include "host/model/checkpoint.h"
#include "host/model/preprocessing.h"
#include "tests/fuzz/fuzz.h"

REEL_FUZZ({
  const reel::fuzz::File file(text);
  const reel::SavedModel model = reel::load_model(file.path());
  reel::preprocessing_of(model.metadata, "model");
})
