#include "kernels/plan.h"

#include <algorithm>
#include <numeric>
#include <optional>

namespace reel {

std::vector<std::size_t> Plan::critical_path() const {
  std::vector<double> end(nodes.size());
  std::vector<std::optional<std::size_t>> waits_longest_for(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    double begin = 0;
    for (const std::size_t before : nodes[i].after) {
      if (waits_longest_for[i] && end[before] <= begin) continue;
      waits_longest_for[i] = before;
      begin = end[before];
    }
    end[i] = begin + nodes[i].microseconds;
  }
  std::vector<std::size_t> path;
  if (nodes.empty()) return path;
  std::optional<std::size_t> node = static_cast<std::size_t>(std::ranges::max_element(end) - end.begin());
  for (; node; node = waits_longest_for[*node]) path.push_back(*node);
  std::ranges::reverse(path);
  return path;
}

double Plan::microseconds(const std::vector<std::size_t>& path) const {
  return std::accumulate(path.begin(), path.end(), 0.0,
                         [&](double sum, std::size_t i) { return sum + nodes[i].microseconds; });
}

int Plan::launches(const std::vector<std::size_t>& path) const {
  return std::accumulate(path.begin(), path.end(), 0, [&](int sum, std::size_t i) { return sum + nodes[i].launches; });
}

double Plan::sum_of_microseconds() const {
  return std::accumulate(nodes.begin(), nodes.end(), 0.0,
                         [](double sum, const PlanNode& node) { return sum + node.microseconds; });
}

}  // namespace reel
