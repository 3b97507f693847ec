// Linked into programs whose CUDA device is the emulator.
#include "tests/cuda_runtime/runtime.h"
#include "tests/support/cuda_device.h"

namespace reel::test {

const bool kEmulated = true;
std::vector<std::string> take_profiled_ranges() { return runtime::take_profiled_ranges(); }

}  // namespace reel::test
