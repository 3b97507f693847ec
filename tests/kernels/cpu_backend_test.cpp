// What the CPU backend says of its machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

#include "kernels/error.h"
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

/// As on a GPU: an overflow is not a state of 0.
TEST(CpuBackend, ReluKeepsWhatIsNoNumber) {
  const auto backend = make_cpu_backend<float>(1);
  const std::vector<std::int32_t> row_of(1), lengths{1};
  const std::vector<float> input(3, std::numeric_limits<float>::quiet_NaN()), w_hh(9);
  std::vector<float> h(6);
  backend->run(RecurrenceForward<float>{.cell = Cell::kRelu,
                                        .shape = {1, 1, 3},
                                        .lengths = lengths,
                                        .input = {.values = input, .width = 3, .row_of = row_of},
                                        .w_hh = w_hh,
                                        .h = h});
  EXPECT_TRUE(std::isnan(h[3]) && std::isnan(h[5]));
}

/// The recurrence may take minutes; a program that is to end within seconds cannot wait for it.
TEST(CpuBackend, LongOperationsCanBeInterrupted) {
  std::atomic<int> interrupted = 0;
  const auto backend = make_cpu_backend<float>(2, Precision::kFloat32, false, &interrupted);
  const SequenceShape shape{.batch = 1, .steps = 2, .hidden = 1};
  const std::vector<std::int32_t> row_of{0, 0}, lengths{2};
  const std::vector<float> projected{0.5f}, w_hh{1}, d_last{1};
  std::vector<float> h(3), dz(2), d_w_hh(1);
  const auto forward = [&] {
    backend->run(RecurrenceForward<float>{.shape = shape,
                                          .lengths = lengths,
                                          .input = {.values = projected, .width = 1, .row_of = row_of},
                                          .w_hh = w_hh,
                                          .h = h});
  };
  const auto backward = [&] {
    backend->run(RecurrenceBackward<float>{.shape = shape,
                                           .lengths = lengths,
                                           .h = h,
                                           .w_hh = w_hh,
                                           .d_output = {.last = d_last, .every = {}},
                                           .d_input = dz,
                                           .d_w_hh = d_w_hh});
  };
  forward();
  backward();
  EXPECT_NE(d_w_hh[0], 0);
  interrupted = 15;
  EXPECT_THROW(forward(), Interrupted);
  EXPECT_THROW(backward(), Interrupted);
  interrupted = 0;
  forward();
  backward();
}

}  // namespace
}  // namespace reel
