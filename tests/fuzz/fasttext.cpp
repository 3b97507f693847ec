#include "host/text/readers.h"
#include "tests/fuzz/fuzz.h"

// Whatever follows is read as lines of fastText.
REEL_FUZZ({
  const reel::fuzz::File file("__label__" + std::string(text));
  reel::read_labelled_rows(file.path(), {});
})
