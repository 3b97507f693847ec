#include "kernels/range_timings.h"

#include "kernels/check.h"

namespace reel {

std::vector<int>& RangeTimings::children_of(int range) {
  return range < 0 ? roots_ : nodes_[static_cast<std::size_t>(range)].children;
}

int RangeTimings::begin(const std::string& name) {
  for (const int child : children_of(open_)) {
    if (nodes_[static_cast<std::size_t>(child)].timing.name == name) return open_ = child;
  }
  const int depth = open_ < 0 ? 0 : nodes_[static_cast<std::size_t>(open_)].timing.depth + 1;
  const auto range = static_cast<int>(nodes_.size());
  children_of(open_).push_back(range);
  nodes_.push_back({.timing = {.name = name, .depth = depth}, .parent = open_, .children = {}});
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
  append(roots_, result);
  return result;
}

void RangeTimings::append(const std::vector<int>& ranges, std::vector<RangeTiming>& result) const {
  for (const int range : ranges) {
    const Node& node = nodes_[static_cast<std::size_t>(range)];
    result.push_back(node.timing);
    append(node.children, result);
  }
}

}  // namespace reel
