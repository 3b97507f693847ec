#include "host/text/readers.h"
#include "tests/fuzz/fuzz.h"

// Whatever follows is read as JSON lines, not as CSV.
REEL_FUZZ({
  const reel::fuzz::File file("{" + std::string(text));
  reel::read_labelled_rows(file.path(), {});
})
