// What this machine could do at most: multiply-adds alone, a large product of matrices (OpenBLAS' sgemm) and a large
// copy, on one thread and on all. The operations of kernels_bench are shown as shares of these.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <cstring>
#include <thread>
#include <vector>

#include "bench/multiply_adds.h"

extern "C" void openblas_set_num_threads(int threads);

namespace {

constexpr int kSide = 2048;
constexpr std::size_t kBytes = std::size_t{256} << 20;

void multiply_adds(benchmark::State& state, int threads) {
  constexpr std::int64_t kRounds = 10'000'000;
  double flop = 0;
  const auto work = [] {
    float sum = 0;
    const double done = reel::bench::multiply_adds(kRounds, sum);
    benchmark::DoNotOptimize(sum);
    return done;
  };
  for (auto _ : state) {
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(work);
    flop += threads * work();
  }
  state.counters["FLOP/s"] = benchmark::Counter(flop, benchmark::Counter::kIsRate);
}

void sgemm(benchmark::State& state, int threads) {
  openblas_set_num_threads(threads);
  const std::vector<float> a(kSide * kSide, 0.5f), b(kSide * kSide, 0.25f);
  std::vector<float> c(kSide * kSide);
  for (auto _ : state) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, kSide, kSide, kSide, 1, a.data(), kSide, b.data(), kSide, 0,
                c.data(), kSide);
    benchmark::DoNotOptimize(c.data());
  }
  const double flop = 2.0 * kSide * kSide * kSide;
  state.counters["FLOP/s"] =
      benchmark::Counter(flop * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

/// Bytes read and bytes written both count.
void copy(benchmark::State& state, int threads) {
  const std::vector<char> from(kBytes, 1);
  std::vector<char> to(kBytes, 2);
  const std::size_t part = kBytes / static_cast<std::size_t>(threads);
  for (auto _ : state) {
    std::vector<std::jthread> workers;
    for (std::size_t begin = 0; begin + part <= kBytes; begin += part) {
      workers.emplace_back([&, begin] { std::memcpy(to.data() + begin, from.data() + begin, part); });
    }
    workers.clear();
    benchmark::DoNotOptimize(to.data());
  }
  state.SetBytesProcessed(state.iterations() * 2 * static_cast<std::int64_t>(kBytes));
}

}  // namespace

int main(int argc, char** argv) {
  const int all = static_cast<int>(std::thread::hardware_concurrency());
  for (const int threads : {1, all}) {
    const std::string name = "/threads:" + std::to_string(threads);
    benchmark::RegisterBenchmark(("multiply_adds" + name).c_str(),
                                 [=](benchmark::State& s) { multiply_adds(s, threads); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("sgemm" + name).c_str(), [=](benchmark::State& s) { sgemm(s, threads); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("copy" + name).c_str(), [=](benchmark::State& s) { copy(s, threads); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
    if (all == 1) break;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
