// What stands behind --device cuda in a test program.
#pragma once

#include <string>
#include <vector>

namespace reel::test {

/// The emulator; else a GPU.
extern const bool kEmulated;

/// The ranges that began on the emulator while a profile was recorded, since the last call.
std::vector<std::string> take_profiled_ranges();

}  // namespace reel::test
