// Linked into programs whose CUDA device, if there is one, is a GPU.
#include "tests/support/cuda_device.h"

namespace reel::test {

const bool kEmulated = false;
void set_schedule(std::uint64_t) {}
std::vector<std::string> take_profiled_ranges() { return {}; }

}  // namespace reel::test
