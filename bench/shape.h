// What a measurement is of.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace reel::bench {

struct Shape {
  std::int64_t vocabulary = 0;  // V
  std::int64_t embedding = 0;   // E
  std::int64_t hidden = 0;      // H
  std::int64_t batch = 0;       // B
  std::int64_t steps = 0;       // T
  Cell cell = Cell::kTanh;

  BatchShape rows() const { return {batch, steps}; }
  std::int64_t gates() const { return traits(cell).gates * hidden; }  // G*H
  SequenceShape sequences() const { return {batch, steps, hidden}; }
};

}  // namespace reel::bench
