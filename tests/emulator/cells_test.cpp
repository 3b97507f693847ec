// The kernels' tanh has no division: here it is compared with the CPU backend's, bit for bit, for every reciprocal that
// the hardware may give it.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include "kernels/make_backend.h"
#include "tests/emulator/cell_samples.h"

namespace reel::emulator {
namespace {

/// Off the correctly rounded reciprocal. rcp.approx.ftz.f32 is documented to be within 1 ulp of the exact one, or, in
/// older editions, within 2^-23 of its value, which is up to two.
constexpr int kErrors[] = {0, -1, 1, -2, 2};

constexpr std::int64_t kHidden = 16, kRows = 1024, kBatch = kHidden * kRows;

/// The CPU backend's tanh: one step of a recurrence without a product.
class CpuTanh {
 public:
  CpuTanh() : row_of_(kRows), lengths_(kRows, 1), w_hh_(kHidden * kHidden), h_(2 * kBatch) {
    for (std::size_t b = 0; b < row_of_.size(); ++b) row_of_[b] = static_cast<std::int32_t>(b);
  }
  std::span<const float> operator()(std::span<const float> x) {
    backend_->run(RecurrenceForward<float>{.shape = {.batch = kRows, .steps = 1, .hidden = kHidden},
                                           .lengths = lengths_,
                                           .input = {.values = x, .width = kHidden, .row_of = row_of_},
                                           .w_hh = w_hh_,
                                           .h = h_});
    return std::span<const float>(h_).subspan(kBatch);
  }

 private:
  std::unique_ptr<Backend<float>> backend_ = make_cpu_backend<float>(1);
  std::vector<std::int32_t> row_of_, lengths_;
  std::vector<float> w_hh_, h_;
};

struct Differences {
  std::int64_t count = 0;
  float first = 0;  // of those that differ
  int error = 0;    // of its reciprocal
};

/// How often any of them differs from the CPU's.
void compare(CpuTanh& cpu_tanh, std::span<const float> x, Differences& differences) {
  std::vector<float> y(x.size());
  const std::span<const float> expected = cpu_tanh(x);
  for (const int error : kErrors) {
    tanh_of_kernels(x, error, y);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (std::bit_cast<std::uint32_t>(y[i]) == std::bit_cast<std::uint32_t>(expected[i])) continue;
      if (std::isnan(y[i]) && std::isnan(expected[i])) continue;
      if (std::fpclassify(x[i]) == FP_SUBNORMAL && y[i] == x[i]) continue;  // the CPU reads these as 0
      if (differences.count++ == 0) differences = {1, x[i], error};
    }
  }
}

/// Of the floats from `first` to `last` by their bits, every `stride`-th.
Differences compare_range(std::uint64_t first, std::uint64_t last, std::uint64_t stride) {
  Differences differences;
  CpuTanh cpu_tanh;
  std::vector<float> x(kBatch);
  for (std::uint64_t bits = first; bits <= last;) {
    for (float& value : x) {
      value = std::bit_cast<float>(static_cast<std::uint32_t>(std::min(bits, last)));
      bits += stride;
    }
    compare(cpu_tanh, x, differences);
  }
  return differences;
}

constexpr std::uint64_t kSign = 1u << 31;

std::uint64_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

void expect_none(const Differences& differences) {
  EXPECT_EQ(differences.count, 0) << "at " << differences.first << ", its reciprocal off by " << differences.error;
}

/// Below 2^-14 the denominator is 1, whatever x is; negative numbers differ by their sign in every intermediate result.
TEST(CellsOfKernels, TanhOfEveryFloatFromTwoToTheMinus14ToEightIsTheCpus) {
  const std::uint64_t begin = bits_of(0x1p-14f), end = bits_of(8.0f), middle = (begin + end) / 2;
  Differences upper;
  std::thread thread([&] { upper = compare_range(middle + 1, end, 1); });
  expect_none(compare_range(begin, middle, 1));
  thread.join();
  expect_none(upper);
}

TEST(CellsOfKernels, TanhOfAllOthersIsTheCpusWhereSampled) {
  const std::uint64_t infinity = bits_of(std::numeric_limits<float>::infinity());
  constexpr std::uint64_t kStride = 2003;
  expect_none(compare_range(0, bits_of(0x1p-14f), kStride));
  expect_none(compare_range(bits_of(8.0f), infinity + 3, kStride));  // three are NaN
  expect_none(compare_range(kSign, kSign + infinity + 3, kStride));
}

}  // namespace
}  // namespace reel::emulator
