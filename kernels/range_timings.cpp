#include "kernels/range_timings.h"

#include <algorithm>

#include "kernels/check.h"

namespace reel {

int RangeTimings::begin(const std::string& name) {
  const auto found =
      std::ranges::find_if(nodes_, [&](const Node& node) { return node.parent == open_ && node.timing.name == name; });
  const auto range = static_cast<int>(found - nodes_.begin());
  if (found == nodes_.end()) {
    const int depth = open_ < 0 ? 0 : nodes_[static_cast<std::size_t>(open_)].timing.depth + 1;
    nodes_.push_back({.timing = {.name = name, .depth = depth}, .parent = open_});
  }
  return open_ = range;
}

int RangeTimings::end() {
  REEL_CHECK(open_ >= 0, "a range ends that did not begin");
  const int range = open_;
  open_ = nodes_[static_cast<std::size_t>(range)].parent;
  return range;
}

void RangeTimings::add(int range, double seconds) {
  RangeTiming& timing = nodes_[static_cast<std::size_t>(range)].timing;
  ++timing.calls;
  timing.seconds += seconds;
}

std::vector<RangeTiming> RangeTimings::result() const {
  std::vector<RangeTiming> result;
  append_children(-1, result);
  return result;
}

void RangeTimings::append_children(int parent, std::vector<RangeTiming>& result) const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].parent != parent) continue;
    result.push_back(nodes_[i].timing);
    append_children(static_cast<int>(i), result);
  }
}

}  // namespace reel
