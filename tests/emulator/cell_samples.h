// The cells' arithmetic as kernels have it, outside of any kernel.
#pragma once

#include <span>

namespace reel::emulator {

/// tanh of each, where the hardware's reciprocal is `reciprocal_error` ulps off the correctly rounded one.
void tanh_of_kernels(std::span<const float> x, int reciprocal_error, std::span<float> y);

}  // namespace reel::emulator
