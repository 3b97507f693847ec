// Runs a problem through every operation of a backend, in whatever memory that backend computes.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "tests/kernels/problem.h"

namespace reel::test {

/// orders_rows: recurrences are given the rows by length.
template <class Real>
Results run_problem(Backend<Real>& backend, const Problem& problem, bool orders_rows = true);

}  // namespace reel::test
