// What the CPU backend says of its machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "kernels/make_backend.h"

namespace reel {
namespace {

TEST(CpuBackend, SaysWhichProcessorItRunsOn) {
  std::stringstream machine;
  machine << std::ifstream("/proc/cpuinfo").rdbuf();
  const std::string name = make_cpu_backend<float>(1)->info().name;
  if (machine.str().find("model name") == std::string::npos) {
    EXPECT_EQ(name, "CPU");
  } else {
    EXPECT_THAT(machine.str(), testing::HasSubstr(": " + name + "\n"));
  }
}

}  // namespace
}  // namespace reel
