// A folder: three files, parted by two zeros each.
#include <fstream>

#include "host/text/readers.h"
#include "tests/fuzz/fuzz.h"

namespace {

/// /dev/shm/reel-fuzz-PID, for this process.
const std::filesystem::path& folder() {
  static const std::filesystem::path path = [] {
    auto made = std::filesystem::path("/dev/shm") / ("reel-fuzz-" + std::to_string(::getpid()));
    std::filesystem::create_directories(made);
    std::atexit([] { std::filesystem::remove_all(folder()); });
    return made;
  }();
  return path;
}

void write_files(std::string_view text) {
  constexpr std::string_view kEnd("\0\0", 2);
  for (const char* name : {"prepared.json", "vocabulary.txt", "tokens.safetensors"}) {
    const std::size_t end = name[0] == 't' ? text.size() : std::min(text.find(kEnd), text.size());
    std::ofstream(folder() / name, std::ios::binary) << text.substr(0, end);
    text.remove_prefix(std::min(end + kEnd.size(), text.size()));
  }
}

}  // namespace

REEL_FUZZ({
  write_files(text);
  reel::read_prepared(folder());
})
