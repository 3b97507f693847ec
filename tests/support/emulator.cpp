// Linked into programs whose CUDA device is the emulator.
#include "tests/cuda_runtime/runtime.h"
#include "tests/emulator/scheduler.h"
#include "tests/support/cuda_device.h"

namespace reel::test {

const bool kEmulated = true;
void set_schedule(std::uint64_t seed) {
  using emulator::Order;
  emulator::options() = {.order = seed == 0   ? Order::kForward
                                  : seed == 1 ? Order::kReverse
                                              : Order::kRandom,
                         .seed = seed};
}
std::vector<std::string> take_profiled_ranges() { return runtime::take_profiled_ranges(); }

}  // namespace reel::test
