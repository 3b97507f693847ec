// The nonlinearity alone: one step, no recurrence, so that h[1] = tanh(projected).
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/make_backend.h"

namespace reel::test {
namespace {

constexpr std::int64_t kHidden = 16;

template <class Real>
std::vector<Real> tanh_of(std::vector<Real> values) {
  const auto backend = make_cpu_backend<Real>(1);
  values.resize((values.size() + kHidden - 1) / kHidden * kHidden);
  const auto rows = static_cast<std::int64_t>(values.size()) / kHidden;
  std::vector<std::int32_t> row_of(static_cast<std::size_t>(rows)), lengths(row_of.size(), 1);
  for (std::size_t b = 0; b < row_of.size(); ++b) row_of[b] = static_cast<std::int32_t>(b);
  const std::vector<Real> w_hh(kHidden * kHidden);
  std::vector<Real> h(2 * values.size());
  backend->run(RecurrenceForward<Real>{.shape = {.batch = rows, .steps = 1, .hidden = kHidden},
                                       .lengths = lengths,
                                       .input = {.values = values, .width = kHidden, .row_of = row_of},
                                       .w_hh = w_hh,
                                       .h = h});
  return {h.begin() + static_cast<std::ptrdiff_t>(values.size()), h.end()};
}

TEST(Tanh, Float32IsWithin3em7AndNeverBeyondOne) {
  std::vector<float> values;
  for (double x = 1e-8; x < 100; x *= 1.0005) {
    values.push_back(static_cast<float>(x));
    values.push_back(static_cast<float>(-x));
  }
  const std::vector<float> result = tanh_of(values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double exact = std::tanh(static_cast<double>(values[i]));
    EXPECT_NEAR(result[i], exact, 3e-7 * std::min(1.0, 2 * std::abs(exact))) << values[i];
    EXPECT_LE(std::abs(result[i]), 1.0f) << values[i];
  }
}

TEST(Tanh, Float64IsExact) {
  const std::vector<double> values = {-30, -2, -0.5, -1e-9, 0, 1e-9, 0.5, 2, 30};
  const std::vector<double> result = tanh_of(values);
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_DOUBLE_EQ(result[i], std::tanh(values[i]));
}

TEST(Tanh, NotANumberStaysOne) {
  const std::vector<float> result =
      tanh_of<float>({std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 0});
  EXPECT_TRUE(std::isnan(result[0]));
  EXPECT_NEAR(result[1], 1, 3e-7);
  EXPECT_EQ(result[2], 0);
}

}  // namespace
}  // namespace reel::test
