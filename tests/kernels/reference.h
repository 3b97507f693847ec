// The whole model in plain float64 loops, straight from the formulas: what every backend is compared with.
#pragma once

#include "tests/kernels/problem.h"

namespace reel::test {

Results reference(const Problem& problem);

}  // namespace reel::test
