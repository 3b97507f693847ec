// Pooling where a state is no number, on every device.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/kernels/devices.h"

namespace reel::test {
namespace {

class DeviceHead : public testing::TestWithParam<TestDevice> {
 protected:
  void SetUp() override { REEL_REQUIRE_DEVICE(GetParam()); }
};

/// A state that is no number stays to be seen, at whichever step it comes up.
TEST_P(DeviceHead, AMaximumKeepsWhatIsNoNumber) {
  constexpr std::int64_t B = 1, T = 3, H = T + 1;
  const auto backend = GetParam().make();
  const auto upload = [&]<class Element>(const std::vector<Element>& values) {
    auto buffer = backend->allocate<Element>(static_cast<std::int64_t>(values.size()));
    backend->upload(std::span<const Element>(values), buffer.span());
    return buffer;
  };
  std::vector<float> states((T + 1) * H, 0.5f);
  for (std::size_t t = 0; t < T; ++t) states[(t + 1) * H + t] = std::numeric_limits<float>::quiet_NaN();
  const auto h = upload(states), weight = upload(std::vector<float>(H)), bias = upload(std::vector<float>(1));
  const auto lengths = upload(std::vector<std::int32_t>{T});
  auto pooled = backend->allocate<float>(H), logits = backend->allocate<float>(B);
  auto argmax = backend->allocate<std::int32_t>(H);
  backend->run(HeadForward<float>{.shape = {B, T, H},
                                  .lengths = lengths.span(),
                                  .h = h.span(),
                                  .pool = Pool::kMax,
                                  .fc_weight = weight.span(),
                                  .fc_bias = bias.span(),
                                  .pooled = pooled.span(),
                                  .argmax = argmax.span(),
                                  .logits = logits.span()});
  std::vector<float> actual(H);
  backend->download(std::as_const(pooled).span(), std::span(actual));
  for (std::size_t j = 0; j < T; ++j) EXPECT_TRUE(std::isnan(actual[j])) << j;
  EXPECT_EQ(actual[T], 0.5f);
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceHead, testing::ValuesIn(all_devices()),
                         [](const auto& device) { return device.param.name; });

}  // namespace
}  // namespace reel::test
