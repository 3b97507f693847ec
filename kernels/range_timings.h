// Adds up how long ranges take. A range is known by its name and the ranges around it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/device.h"

namespace reel {

class RangeTimings {
 public:
  /// The number of the range that begins or ends; add() takes it.
  int begin(const std::string& name);
  int end();
  void add(int range, double seconds);

  std::vector<RangeTiming> result() const;

 private:
  struct Node {
    RangeTiming timing;
    int parent = -1;
  };

  void append_children(int parent, std::vector<RangeTiming>& result) const;

  std::vector<Node> nodes_;  // few
  int open_ = -1;            // the innermost open range
};

}  // namespace reel
