// A backend on a device of the stand-in.
#pragma once

#include "kernels/plan.h"
#include "tests/cuda_runtime/fixture.h"

namespace reel::runtime {

class RuntimeBackend : public RuntimeTest {
 protected:
  /// Work that touches what it may not is seen when it runs, perhaps after the test.
  void TearDown() override {
    cudaDeviceSynchronize();
    EXPECT_EQ(kernel_error(), "");
  }
  static void use(const Options& options) {
    reset();
    set_options(options);
  }
  /// The graph that was launched last has the plan's nodes.
  static void expect_launched(const Plan& plan) {
    const auto nodes = launched_nodes();
    ASSERT_EQ(plan.nodes.size(), nodes.size());
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      EXPECT_THAT(nodes[i].first, testing::HasSubstr(kind_of(plan.nodes[i]))) << i;
      EXPECT_EQ(plan.nodes[i].after, nodes[i].second) << i << " " << plan.nodes[i].name;
    }
  }

 private:
  /// What the stand-in calls such a node.
  static std::string kind_of(const PlanNode& node) {
    if (node.name.starts_with("sgemm")) return "cublasSgemm";
    if (node.name == "cub::DeviceRadixSort::SortPairs") return "CUB sort";
    if (node.name == "cub::DeviceScan::InclusiveSum") return "CUB sum";
    return node.name.substr(0, node.name.find('<'));
  }
};

}  // namespace reel::runtime
