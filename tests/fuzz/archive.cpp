// tar and zip, compressed or not.
#include "host/files/archive.h"

#include "tests/fuzz/fuzz.h"

REEL_FUZZ({
  const reel::fuzz::File file(text);
  reel::read_archive(
      file.path(), [](const std::string& name) { return name.size() % 2 == 0; },
      [](const std::string&, std::string) {});
})
