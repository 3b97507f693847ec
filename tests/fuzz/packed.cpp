// Files packed by gzip, bzip2, xz or Zstandard.
#include "host/files/packed.h"

#include "tests/fuzz/fuzz.h"

REEL_FUZZ({
  const reel::fuzz::File file(text);
  reel::read_unpacked_start(file.path(), 512);
  reel::read_unpacked(file.path());
})
