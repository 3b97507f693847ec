// The files of an aclImdb_v1.tar: a line `path<TAB>review` each.
#include "host/files/lines.h"
#include "host/text/readers.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pack.h"

REEL_FUZZ({
  std::vector<std::pair<std::string, std::string_view>> files;
  reel::for_each_line(text, [&](std::string_view line) {
    const std::size_t tab = std::min(line.find('\t'), line.size());
    files.emplace_back(line.substr(0, tab), line.substr(std::min(tab + 1, line.size())));
  });
  const reel::fuzz::File file(reel::fuzz::pack(reel::fuzz::Format::kTar, files));
  reel::read_aclimdb_archive(file.path());
})
