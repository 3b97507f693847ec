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
  std::int64_t layers = 1;  // of a training step: operations are those of one layer in one direction
  bool bidirectional = false;

  BatchShape rows() const { return {batch, steps}; }
  std::int64_t gates() const { return traits(cell).gates * hidden; }  // G*H
  SequenceShape sequences() const { return {batch, steps, hidden}; }
};

}  // namespace reel::bench
