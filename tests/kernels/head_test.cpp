// The head where values are special, on every device: no numbers, equal ones.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/check.h"
#include "tests/kernels/devices.h"

namespace reel::test {
namespace {

class DeviceHead : public testing::TestWithParam<TestDevice> {
 protected:
  void SetUp() override {
    REEL_REQUIRE_DEVICE(GetParam());
    backend_ = GetParam().make();
  }
  template <class Element>
  Buffer<Element> upload(const std::vector<Element>& values) {
    auto buffer = backend_->allocate<Element>(static_cast<std::int64_t>(values.size()));
    backend_->upload(std::span<const Element>(values), buffer.span());
    return buffer;
  }
  /// Of a row with these logits.
  BatchStats softmax(const std::vector<float>& logits, const std::vector<std::int32_t>& labels,
                     const std::vector<float>& targets = {}) {
    const auto C = static_cast<std::int64_t>(logits.size());
    const auto x = upload(logits), y = upload(targets), pooled = upload(std::vector<float>(1));
    const auto weight = upload(std::vector<float>(logits.size()));
    const auto label = upload(labels), lengths = upload(std::vector<std::int32_t>{1});
    auto stats = backend_->allocate<BatchStats>(1);
    auto d_weight = backend_->allocate<float>(C), d_bias = backend_->allocate<float>(C);
    auto d_state = backend_->allocate<float>(1);
    backend_->run(HeadBackward<float>{.shape = {.batch = 1, .steps = 1, .hidden = 1},
                                      .loss = Loss::kSoftmax,
                                      .labels = label.span(),
                                      .targets = y.span(),
                                      .logits = x.span(),
                                      .stats = stats.span(),
                                      .lengths = lengths.span(),
                                      .pooled = pooled.span(),
                                      .fc_weight = weight.span(),
                                      .d_fc_weight = d_weight.span(),
                                      .d_fc_bias = d_bias.span(),
                                      .d_state = d_state.span()});
    std::vector<BatchStats> measured(1);
    backend_->download(std::as_const(stats).span(), std::span(measured));
    return measured[0];
  }

  std::unique_ptr<Backend<float>> backend_;
};

TEST_P(DeviceHead, OfEqualLogitsTheFirstCounts) {
  for (const std::size_t count : {3u, 40u, 700u}) {  // within a warp, across warps, across a thread's turns
    std::vector<float> logits(count, -2.0f), targets(count, 0.25f);
    for (const std::size_t first : {std::size_t{0}, count / 2, count - 2}) {
      logits.assign(count, -2.0f);
      targets.assign(count, 0.25f);
      for (const std::size_t c : {first, count - 1}) logits[c] = targets[c] = 0.5f;
      const auto label = static_cast<std::int32_t>(first), last = static_cast<std::int32_t>(count) - 1;
      EXPECT_EQ(softmax(logits, {label}).correct, 1) << first << " of " << count;
      EXPECT_EQ(softmax(logits, {last}).correct, 0) << first << " of " << count;
      EXPECT_EQ(softmax(logits, {}, targets).correct, 1) << first << " of " << count;
      targets[first] = 0.375f;
      EXPECT_EQ(softmax(logits, {}, targets).correct, 0) << first << " of " << count;
    }
  }
}

TEST_P(DeviceHead, ALossOfWhatIsNoNumberIsNone) {
  for (std::size_t c = 0; c < 3; ++c) {
    std::vector<float> logits = {0, 1, 2};
    logits[c] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(softmax(logits, {0}).loss_sum)) << c;
  }
}

/// A state that is no number stays to be seen, at whichever step it comes up.
TEST_P(DeviceHead, AMaximumKeepsWhatIsNoNumber) {
  constexpr std::int64_t B = 1, T = 3, H = T + 1;
  std::vector<float> states((T + 1) * H, 0.5f);
  for (std::size_t t = 0; t < T; ++t) states[(t + 1) * H + t] = std::numeric_limits<float>::quiet_NaN();
  const auto h = upload(states), weight = upload(std::vector<float>(H)), bias = upload(std::vector<float>(1));
  const auto lengths = upload(std::vector<std::int32_t>{T});
  auto pooled = backend_->allocate<float>(H), logits = backend_->allocate<float>(B);
  auto argmax = backend_->allocate<std::int32_t>(H);
  backend_->run(HeadForward<float>{.shape = {B, T, H},
                                   .lengths = lengths.span(),
                                   .h = h.span(),
                                   .pool = Pool::kMax,
                                   .fc_weight = weight.span(),
                                   .fc_bias = bias.span(),
                                   .pooled = pooled.span(),
                                   .argmax = argmax.span(),
                                   .logits = logits.span()});
  std::vector<float> actual(H);
  backend_->download(std::as_const(pooled).span(), std::span(actual));
  for (std::size_t j = 0; j < T; ++j) EXPECT_TRUE(std::isnan(actual[j])) << j;
  EXPECT_EQ(actual[T], 0.5f);
}

TEST_P(DeviceHead, ALabelOfNoOutputIsRefusedOnTheCpu) {
  if (GetParam().kind != DeviceKind::kCpu) GTEST_SKIP() << "a kernel cannot refuse";
  for (const std::int32_t label : {-1, 3}) EXPECT_THROW(softmax({0, 1, 2}, {label}), ContractError) << label;
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceHead, testing::ValuesIn(all_devices()),
                         [](const auto& device) { return device.param.name; });

}  // namespace
}  // namespace reel::test
