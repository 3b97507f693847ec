// The CPU backend; its operations stand in files of their own beside it.
#include "kernels/make_backend.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "kernels/check.h"
#include "kernels/cpu/denormals.h"
#include "kernels/cpu/mixed_products.h"
#include "kernels/cpu/operations.h"
#include "kernels/range_timings.h"

namespace reel {
namespace {

constexpr std::size_t kCacheLine = 64, kHugePage = std::size_t{2} << 20;

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "CPU";
}

/// There is nothing to wait for.
class CpuReadback final : public Readback {
 public:
  void start(std::span<const std::byte> from) override { bytes_.assign(from.begin(), from.end()); }
  bool ready() override { return true; }
  std::span<const std::byte> wait() override { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

template <class Real>
class CpuBackend final : public Backend<Real> {
 public:
  using typename Backend<Real>::Branch;

  CpuBackend(int threads, MixedProducts products, bool timings, const std::atomic<int>* interrupted)
      : context_(threads, products, interrupted), timed_(timings) {}

  DeviceInfo info() const override {
    const cpu::Bf16Instructions bf16 = cpu::bf16_instructions();
    const char* const with = bf16.amx ? " with BF16 and AMX" : bf16.avx512 ? " with BF16" : "";
    return {DeviceKind::kCpu, processor_name(), std::string(cpu::instruction_set()) + with, context_.pool.size()};
  }
  std::string describe_recurrence(Cell cell, const SequenceShape&, std::int64_t, bool) const override {
    switch (cpu::products_of(context_, cell)) {
      case MixedProducts::kAmx:
        return "bfloat16 products (AMX), blocked over batch rows";
      case MixedProducts::kBf16:
        return "bfloat16 products (AVX512-BF16), blocked over batch rows";
      default:
        break;
    }
    return std::is_same_v<Real, float> ? "float32, blocked over batch rows" : "float64, blocked over batch rows";
  }
  std::unique_ptr<Readback> make_readback(std::size_t) override { return std::make_unique<CpuReadback>(); }
  void synchronize() override {}

  /// Each branch has its share of the threads; if they cannot be shared out evenly, each has all of them, in order.
  void run_branches(std::size_t count, const Branch& branch) override {
    const auto threads = static_cast<std::size_t>(context_.pool.size());
    if (timed_ || count < 2 || threads % count != 0) return Backend<Real>::run_branches(count, branch);
    const auto share = static_cast<int>(threads / count);
    if (branches_.size() != count) branches_.clear();
    while (branches_.size() < count) {
      branches_.push_back(std::make_unique<CpuBackend>(share, context_.products, false, context_.interrupted));
    }
    context_.pool.run(count, [&](std::size_t i) { branch(*branches_[i], i); });
  }

  void begin_range(const char* name) override {
    if (!timed_) return;
    timings_.begin(name);
    begins_.push_back(Clock::now());
  }
  void end_range() noexcept override {
    if (!timed_) return;
    timings_.add(timings_.end(), std::chrono::duration<double>(Clock::now() - begins_.back()).count());
    begins_.pop_back();
  }
  std::vector<RangeTiming> timings() override { return timings_.result(); }

 protected:
  void* allocate_bytes(std::size_t bytes) override {
    const std::size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
    const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
    void* const data = std::aligned_alloc(alignment, rounded);
    if (data == nullptr) fail("out of memory: {} bytes", bytes);
#ifdef MADV_HUGEPAGE
    if (alignment == kHugePage) ::madvise(data, rounded, MADV_HUGEPAGE);  // a wish: gathered rows miss the TLB less
#endif
    std::memset(data, 0, rounded);
    return data;
  }
  Buffer<char>::Deleter deleter() const override {
    return [](void* data) noexcept { std::free(data); };
  }
  void copy_bytes(std::span<const std::byte> from, std::span<std::byte> to) override {
    REEL_CHECK(from.size() == to.size(), "copy of {} bytes to {}", from.size(), to.size());
    if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
  }

 private:
  using Clock = std::chrono::steady_clock;

  template <class Op>
  void start(const Op& op) {
    const FlushDenormals flush;
    context_.arena.reset();
    cpu::execute(context_, op);
  }
  void execute(const BeginStep& op) override { start(op); }
  void execute(const SelectRows& op) override { start(op); }
  void execute(const IndexTokens& op) override { start(op); }
  void execute(const ProjectTokens<Real>& op) override { start(op); }
  void execute(const RecurrenceForward<Real>& op) override {
    REEL_CHECK(!op.packed, "packed sequences");
    start(op);
  }
  void execute(const IndexSteps& op) override { start(op); }
  void execute(const ReverseIndex& op) override { start(op); }
  void execute(const StackStates<Real>& op) override { start(op); }
  void execute(const StackGradient<Real>& op) override { start(op); }
  void execute(const HeadForward<Real>& op) override { start(op); }
  void execute(const HeadBackward<Real>& op) override { start(op); }
  void execute(const RecurrenceBackward<Real>& op) override {
    REEL_CHECK(!op.packed, "packed sequences");
    start(op);
  }
  void execute(const ProjectionGradient<Real>& op) override { start(op); }
  void execute(const ClipGradient<Real>& op) override { start(op); }
  void execute(const OptimizerStep<Real>& op) override { start(op); }
  void execute(const CatchUp<Real>& op) override { start(op); }

  CpuContext context_;
  std::vector<std::unique_ptr<CpuBackend>> branches_;  // made when first asked for
  bool timed_;
  RangeTimings timings_;
  std::vector<Clock::time_point> begins_;  // of the open ranges
};

}  // namespace

template <class Real>
std::unique_ptr<Backend<Real>> make_cpu_backend(const BackendOptions& options) {
  MixedProducts products = MixedProducts::kFloat32;
  if (options.precision == Precision::kMixed) {
    products = options.mixed_products;
    if (!cpu_has(products)) {
      const bool any = products == MixedProducts::kAuto;
      fail("{}: needs {}a processor with {}, found {} ({}); --precision float32 works without",
           any ? "--precision mixed" : fmt::format("--mixed-products {}", name_of(products)),
           any ? "a CUDA device or " : "", products == MixedProducts::kAmx ? "AMX-BF16" : "AVX512-BF16",
           processor_name(), cpu::instruction_set());
    }
    if (products == MixedProducts::kAuto) products = fastest_mixed_products();
  }
  return std::make_unique<CpuBackend<Real>>(options.threads, products, options.timings, options.interrupted);
}

template std::unique_ptr<Backend<float>> make_cpu_backend(const BackendOptions&);
template std::unique_ptr<Backend<double>> make_cpu_backend(const BackendOptions&);

}  // namespace reel
