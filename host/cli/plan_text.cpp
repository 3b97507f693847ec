#include "host/cli/plan_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "host/files/json.h"

namespace reel {

std::string to_text(const Plan& plan) {
  const std::vector<std::size_t> path = plan.critical_path();
  std::string text = fmt::format("{:>4}  {:<20} {:<44} {:>8} {:>9} {:>9} {:>8}  after\n", "", "operation", "node",
                                 "launches", "MB", "MFLOP", "us");
  for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
    const PlanNode& node = plan.nodes[i];
    text += fmt::format("{:>3}{} {:<20} {:<44} {:>8} {:>9.2f} {:>9.1f} {:>8.1f}  {}\n", i,
                        std::ranges::binary_search(path, i) ? '*' : ' ', node.operation, node.name, node.launches,
                        node.bytes / 1e6, node.flops / 1e6, node.microseconds, fmt::join(node.after, ", "));
  }
  return text + fmt::format(
                    "critical path (*): {} launches, {:.0f} us; all nodes: {:.0f} us. Estimates: nothing has "
                    "run.\n",
                    plan.launches(path), plan.microseconds(path), plan.sum_of_microseconds());
}

std::string to_json(const Plan& plan, const TrainConfig& config, Precision precision, const DeviceInfo& device) {
  const auto numbers = [](const std::vector<std::size_t>& indices) {
    return json_array(std::vector<std::int64_t>(indices.begin(), indices.end()));
  };
  JsonValue::Array nodes;
  for (const PlanNode& node : plan.nodes) {
    nodes.emplace_back(JsonValue::Object{{"name", node.name},
                                         {"operation", node.operation},
                                         {"after", numbers(node.after)},
                                         {"launches", std::int64_t{node.launches}},
                                         {"bytes", node.bytes},
                                         {"flops", node.flops},
                                         {"us", node.microseconds}});
  }
  const std::vector<std::size_t> path = plan.critical_path();
  return to_json({{"precision", precision == Precision::kMixed ? "mixed" : "float32"},
                  {"batch", config.batch_size},
                  {"steps", config.preprocessing.maxlen},
                  {"vocabulary", config.model.vocabulary},
                  {"embedding", config.model.embedding},
                  {"hidden", config.model.hidden},
                  {"cell", traits(config.model.cell).name},
                  {"layers", config.model.layers},
                  {"bidirectional", config.model.bidirectional},
                  {"multiprocessors", std::int64_t{device.threads}},
                  {"nodes", std::move(nodes)},
                  {"critical_path", numbers(path)},
                  {"critical_launches", std::int64_t{plan.launches(path)}},
                  {"critical_us", plan.microseconds(path)},
                  {"sum_us", plan.sum_of_microseconds()}});
}

}  // namespace reel
