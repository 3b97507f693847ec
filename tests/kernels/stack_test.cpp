// What stands between recurrent layers, on every device: the index of steps, its reversal, and dropout.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/kernels/devices.h"

namespace reel::test {
namespace {

using Ids = std::vector<std::int32_t>;
using Values = std::vector<float>;

constexpr std::int64_t B = 4, T = 5, H = 3;
const Ids kLengths = {5, 0, 2, 1};

class DeviceStack : public testing::TestWithParam<TestDevice> {
 protected:
  void SetUp() override {
    REEL_REQUIRE_DEVICE(GetParam());
    backend_ = GetParam().make();
    lengths_ = upload(kLengths);
  }

  template <class Element>
  Buffer<Element> upload(const std::vector<Element>& values) {
    auto buffer = backend_->allocate<Element>(static_cast<std::int64_t>(values.size()));
    backend_->upload(std::span<const Element>(values), buffer.span());
    return buffer;
  }
  template <class Element>
  std::vector<Element> download(std::span<const Element> values) {
    std::vector<Element> copy(values.size());
    backend_->download(values, std::span(copy));
    return copy;
  }

  /// In memory for B * T + 1 integers each.
  TokenIndex index_steps() {
    for (Buffer<std::int32_t>& buffer : memory_) buffer = backend_->allocate<std::int32_t>(B * T + 1);
    const TokenIndex index{.count = memory_[0].first(1),
                           .tokens = memory_[1].first(B * T),
                           .slot = memory_[2].first(B * T),
                           .row_of = memory_[3].first(B * T),
                           .segment = memory_[4].first(B * T + 1),
                           .position = memory_[5].first(B * T)};
    backend_->run(IndexSteps{.shape = {B, T}, .lengths = lengths_.span(), .index = index});
    return index;
  }

  std::unique_ptr<Backend<float>> backend_;
  Buffer<std::int32_t> lengths_;
  Buffer<std::int32_t> memory_[6];
};

bool has(std::int64_t b, std::int64_t t) { return t < kLengths[static_cast<std::size_t>(b)]; }
auto at(const auto& values, std::int64_t i) { return values[static_cast<std::size_t>(i)]; }

TEST_P(DeviceStack, EveryStepIsListedOnce) {
  const TokenIndex index = index_steps();
  const auto ints = [&](std::span<std::int32_t> values) { return download(std::span<const std::int32_t>(values)); };
  const Ids tokens = ints(index.tokens), slot = ints(index.slot), row_of = ints(index.row_of),
            segment = ints(index.segment), position = ints(index.position);
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t t = 0; has(b, t); ++t) {
      const std::int64_t step = t * B + b, u = at(row_of, b * T + t);
      EXPECT_LT(u, ints(index.count)[0]);
      EXPECT_EQ(at(tokens, u), step);
      EXPECT_EQ(at(slot, step), u);
      EXPECT_EQ(at(segment, u + 1), at(segment, u) + 1);
      EXPECT_EQ(at(position, at(segment, u)), step);
    }
  }
}

TEST_P(DeviceStack, AReversedIndexBeginsAtTheEnd) {
  Ids row_of, position;
  for (std::int32_t i = 0; i < B * T; ++i) row_of.push_back(100 + i);
  for (std::int64_t step = B * T - 1; step >= 0; --step) {
    if (has(step % B, step / B)) position.push_back(static_cast<std::int32_t>(step));
  }
  const std::size_t used = position.size();
  position.resize(B * T);
  const auto from = upload(row_of), positions = upload(position);
  auto to = backend_->allocate<std::int32_t>(B * T), reversed = backend_->allocate<std::int32_t>(B * T);
  backend_->run(ReverseIndex{.shape = {B, T},
                             .lengths = lengths_.span(),
                             .row_of = from.span(),
                             .position = positions.span(),
                             .reverse_row_of = to.span(),
                             .reverse_position = reversed.span()});
  const Ids actual = download(std::as_const(to).span()), steps = download(std::as_const(reversed).span());
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t t = 0; has(b, t); ++t) {
      EXPECT_EQ(at(actual, b * T + t), at(row_of, b * T + kLengths[static_cast<std::size_t>(b)] - 1 - t));
    }
  }
  for (std::size_t i = 0; i < used; ++i) {
    const std::int64_t t = position[i] / B, b = position[i] % B;
    EXPECT_EQ(steps[i], (kLengths[static_cast<std::size_t>(b)] - 1 - t) * B + b);
  }
}

Values numbers(std::int64_t count, float first) {
  Values values(static_cast<std::size_t>(count));
  for (float& value : values) value = first += 1;
  return values;
}

TEST_P(DeviceStack, StatesOfBothDirectionsStandSideBySideAfterDropout) {
  const Values h = numbers((T + 1) * B * H, 0), h_reverse = numbers((T + 1) * B * H, 1000);
  const auto forward = upload(h), reverse = upload(h_reverse);
  const TokenIndex index = index_steps();
  const Ids row_of = download(std::span<const std::int32_t>(index.row_of));
  for (const bool both : {false, true}) {
    for (const bool variational : {false, true}) {
      SCOPED_TRACE(both ? "both" : "one");
      const std::int64_t W = both ? 2 * H : H;
      const LayerDropout dropout{.rate = 0.4f,
                                 .variational = variational,
                                 .layer = 2,
                                 .key = {.seed = 9, .stream = RandomStream::kLayerDropout, .step = 4}};
      auto rows = backend_->allocate<float>(T * B * W);
      backend_->run(StackStates<float>{.shape = {B, T, H},
                                       .lengths = lengths_.span(),
                                       .h = forward.span(),
                                       .h_reverse = both ? std::as_const(reverse).span() : std::span<const float>(),
                                       .dropout = dropout,
                                       .rows = rows.span()});
      auto gradient = upload(Values(static_cast<std::size_t>(T * B * W), 1));
      backend_->run(StackGradient<float>{.shape = {B, T},
                                         .count = index.count,
                                         .tokens = index.tokens,
                                         .width = W,
                                         .dropout = dropout,
                                         .d_rows = gradient.span()});
      const Values actual = download(std::as_const(rows).span()), d = download(std::as_const(gradient).span());
      for (std::int64_t b = 0; b < B; ++b) {
        for (std::int64_t t = 0; has(b, t); ++t) {
          const std::int64_t end = kLengths[static_cast<std::size_t>(b)] - t;
          for (std::int64_t j = 0; j < W; ++j) {
            const std::int64_t row = 2 * B + b, p = (variational ? row : row * T + t) * W + j;
            const bool kept = random_uniform(dropout.key, static_cast<std::uint64_t>(p)) >= dropout.rate;
            const float factor = kept ? 1 / (1 - dropout.rate) : 0;
            const float state = j < H ? at(h, ((t + 1) * B + b) * H + j) : at(h_reverse, (end * B + b) * H + j - H);
            EXPECT_FLOAT_EQ(at(actual, (t * B + b) * W + j), state * factor);
            EXPECT_FLOAT_EQ(at(d, at(row_of, b * T + t) * W + j), factor);
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceStack, testing::ValuesIn(all_devices()),
                         [](const auto& device) { return device.param.name; });

}  // namespace
}  // namespace reel::test
