// The emulator's libraries: host memory, plain loops for cuBLAS, Thrust's host algorithms for CUB. Everything is done
// when a call returns.
#include "kernels/cuda/platform.h"

#include <thrust/copy.h>
#include <thrust/execution_policy.h>
#include <thrust/scan.h>
#include <thrust/sort.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/error.h"

namespace reel::REEL_CUDA_BUILD {

namespace {

void* aligned_zeros(std::size_t bytes) {
  constexpr std::size_t kAlignment = 256;  // as cudaMalloc
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  void* const memory = std::aligned_alloc(kAlignment, rounded);
  if (memory == nullptr) throw Error("emulator: out of memory");
  std::memset(memory, 0, rounded);
  return memory;
}

/// Arrives late: not before it was asked for three times.
class LateReadback final : public Readback {
 public:
  explicit LateReadback(const bool& capturing) : capturing_(capturing) {}
  void start(std::span<const std::byte> from) override {
    if (capturing_) throw Error("emulator: reading back while a graph is captured");
    bytes_.assign(from.begin(), from.end());
    asked_ = 0;
  }
  bool ready() override { return ++asked_ > 3; }
  std::span<const std::byte> wait() override { return bytes_; }

 private:
  const bool& capturing_;
  std::vector<std::byte> bytes_;
  int asked_ = 0;
};

}  // namespace

struct Platform::Parts {
  // Few multiprocessors and clusters, so that each walks through several rows; the shared memory of sm_90.
  DeviceLimits limits{.name = "emulator",
                      .capability = 90,
                      .multiprocessors = 2,
                      .clusters = 2,
                      .shared_per_block = 227 * 1024,
                      .memory = std::size_t{1} << 34};
  bool capturing = false;

  /// What a stream that collects a graph refuses.
  void check_not_capturing(const char* what) const {
    if (capturing) throw Error(std::string("emulator: ") + what + " while a graph is captured");
  }
};

Platform::Platform() : parts_(std::make_unique<Parts>()) {}
Platform::~Platform() = default;

const DeviceLimits& Platform::limits() const { return parts_->limits; }
cudaStream_t Platform::stream() const { return nullptr; }
void Platform::synchronize() { parts_->check_not_capturing("synchronize"); }

void* Platform::allocate(std::size_t bytes) {
  parts_->check_not_capturing("zeroing new memory");
  return aligned_zeros(bytes);
}

void* Platform::allocate_uninitialised(std::size_t bytes) {
  void* const memory = aligned_zeros(bytes);
  std::memset(memory, 0xFF, bytes);  // NaN
  return memory;
}

std::unique_ptr<Readback> Platform::make_readback(std::size_t) {
  return std::make_unique<LateReadback>(parts_->capturing);
}

void Platform::begin_capture() {
  parts_->check_not_capturing("begin_capture");
  parts_->capturing = true;
}
void Platform::end_capture(const std::string&) { parts_->capturing = false; }

namespace {
bool profiling = false;
std::vector<std::string> profiled_ranges;
double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
}  // namespace

void Platform::begin_range(const char* name) {
  if (profiling) profiled_ranges.emplace_back(name);
}
void Platform::end_range() {}
void Platform::record_profile(bool on) { profiling = on; }

std::vector<std::string> take_profiled_ranges() { return std::exchange(profiled_ranges, {}); }

Platform::Moment Platform::mark() {
  parts_->check_not_capturing("recording an event that is timed");
  return std::make_shared<double>(now());
}
double Platform::seconds_between(const Moment& begin, const Moment& end) {
  return *static_cast<const double*>(end.get()) - *static_cast<const double*>(begin.get());
}

void Platform::release(void* memory) noexcept { std::free(memory); }

void Platform::copy(void* to, const void* from, std::size_t bytes) {
  parts_->check_not_capturing("copy from or to the host");
  std::memcpy(to, from, bytes);
}

void Platform::product(const Product& p) {
  const std::int64_t m = p.m, n = p.n, k = p.k;
  const auto a = [&](std::int64_t i, std::int64_t x) { return p.a_transposed ? p.a[x * m + i] : p.a[i * k + x]; };
  std::vector<float> b(p.b, p.b + k * n);  // [k, n]
  if (p.b_transposed) {
    for (std::int64_t x = 0; x < k; ++x) {
      for (std::int64_t j = 0; j < n; ++j) b[static_cast<std::size_t>(x * n + j)] = p.b[j * k + x];
    }
  }
  std::vector<float> row(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < m; ++i) {
    std::fill(row.begin(), row.end(), 0.0f);
    for (std::int64_t x = 0; x < k; ++x) {
      const float factor = a(i, x);
      const float* const from = b.data() + x * n;
      for (std::int64_t j = 0; j < n; ++j) row[static_cast<std::size_t>(j)] += factor * from[j];
    }
    for (std::int64_t j = 0; j < n; ++j) {
      float& c = p.c[i * n + j];
      c = row[static_cast<std::size_t>(j)] + (p.beta == 0 ? 0.0f : p.beta * c);
    }
  }
}

void Platform::sort_pairs(const std::int32_t* keys, std::int32_t* sorted_keys, const std::int32_t* values,
                          std::int32_t* sorted_values, std::int64_t count, int bits) {
  const auto mask = static_cast<std::int32_t>((std::uint32_t{1} << bits) - 1);
  thrust::copy(thrust::host, keys, keys + count, sorted_keys);
  thrust::copy(thrust::host, values, values + count, sorted_values);
  thrust::stable_sort_by_key(thrust::host, sorted_keys, sorted_keys + count, sorted_values,
                             [mask](std::int32_t a, std::int32_t b) { return (a & mask) < (b & mask); });
}

void Platform::inclusive_sum(const std::int32_t* values, std::int32_t* sums, std::int64_t count) {
  thrust::inclusive_scan(thrust::host, values, values + count, sums);
}

}  // namespace reel::REEL_CUDA_BUILD
