// What a device would do, without doing it: the calls that would be enqueued, what each waits for, what it moves and
// computes, and how long it is expected to take.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace reel {

struct PlanNode {
  std::string name;                // of the kernel, or of the library's call
  std::string operation;           // the innermost range that it is in
  std::vector<std::size_t> after;  // the nodes it waits for, ascending, all before it
  int launches = 1;                // what a library's call is expected to enqueue, one after another
  double bytes = 0;                // read and written, each once
  double flops = 0;
  double microseconds = 0;  // estimated, its start included
};

struct Plan {
  std::vector<PlanNode> nodes;

  /// The nodes, in order, of the chain that takes longest.
  std::vector<std::size_t> critical_path() const;
  double microseconds(const std::vector<std::size_t>& path) const;
  int launches(const std::vector<std::size_t>& path) const;
  /// Of all nodes, as if one waited for the other.
  double sum_of_microseconds() const;
};

}  // namespace reel
