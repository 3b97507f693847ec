#include "kernels/range_timings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/range.h"
#include "tests/kernels/devices.h"

namespace reel::test {
namespace {

std::vector<std::string> lines(const std::vector<RangeTiming>& timings) {
  std::vector<std::string> lines;
  for (const RangeTiming& t : timings) {
    lines.push_back(std::string(static_cast<std::size_t>(t.depth), '>') + t.name + " x" + std::to_string(t.calls));
  }
  return lines;
}

TEST(RangeTimings, AddUpByNameAndNesting) {
  RangeTimings timings;
  timings.begin("epoch");
  timings.begin("step");
  timings.add(timings.end(), 1);
  timings.begin("step");
  timings.add(timings.end(), 2);
  timings.add(timings.end(), 4);
  timings.begin("step");
  timings.add(timings.end(), 8);
  const auto result = timings.result();
  EXPECT_THAT(lines(result), testing::ElementsAre("epoch x1", ">step x2", "step x1"));
  EXPECT_THAT((std::vector{result[0].seconds, result[1].seconds, result[2].seconds}), testing::ElementsAre(4, 3, 8));
}

class DeviceTimings : public testing::TestWithParam<TestDevice> {};

TEST_P(DeviceTimings, NestAsRangesDo) {
  TestDevice device = GetParam();
  REEL_REQUIRE_DEVICE(device);
  device.timings = true;
  const auto backend = device.make();
  for (int step = 0; step < 2; ++step) {
    const ProfileRange outer(*backend, "step");
    const ProfileRange inner(*backend, "optimizer");
  }
  const auto timings = backend->timings();
  EXPECT_THAT(lines(timings), testing::ElementsAre("step x2", ">optimizer x2"));
  EXPECT_GE(timings[0].seconds, timings[1].seconds);
}

TEST_P(DeviceTimings, AreNotTakenUnlessAskedFor) {
  REEL_REQUIRE_DEVICE(GetParam());
  const auto backend = GetParam().make();
  { const ProfileRange range(*backend, "step"); }
  EXPECT_THAT(backend->timings(), testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceTimings, testing::ValuesIn(all_devices()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace reel::test
