// What stands behind --device cuda in a test program.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace reel::test {

/// The emulator; else a GPU.
extern const bool kEmulated;

/// The order of the emulator's threads from here on: 0 forward, 1 reverse, else random. Nothing on a GPU.
void set_schedule(std::uint64_t seed);

/// The ranges that began on the emulator while a profile was recorded, since the last call.
std::vector<std::string> take_profiled_ranges();

}  // namespace reel::test
