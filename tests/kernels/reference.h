// The whole model in plain float64 loops, straight from the formulas: what every backend is compared with.
#pragma once

#include "tests/kernels/problem.h"

namespace reel::test {

/// `argmax` [B, H], unless empty: at which steps states are taken to be largest on the way back. Where two are all but
/// equal, rounding decides, and with it where the gradient flows.
Results reference(const Problem& problem, const std::vector<double>& argmax = {});

}  // namespace reel::test
