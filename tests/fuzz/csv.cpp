#include "host/text/readers.h"
#include "tests/fuzz/fuzz.h"

REEL_FUZZ({
  const reel::fuzz::File file(text);
  reel::read_labelled_rows(file.path(), {});
})
