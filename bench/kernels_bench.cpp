// Times each part of a training step at the recipe's shape: V 10,000, E 128, H 128, T 200, lengths as in IMDB. Parts
// are enqueued kRuns times before the clock waits for them, as training does. Tokens a second: items_per_second.
//
//   kernels_bench                  the CPU with 1 and 2 threads, batch 64
//   kernels_bench --device=cuda    the GPU in both precisions, batches of 1 to 4096
// and Google Benchmark's own flags.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <span>
#include <string_view>

#include "host/model/classifier.h"
#include "host/model/optimizer.h"
#include "kernels/make_backend.h"
#include "kernels/philox.h"

namespace reel {
namespace {

constexpr std::int64_t kSteps = 200, kRuns = 20;

/// Reviews with the length distribution and word frequencies of IMDB, roughly: 57 % shorter than 200, Zipf's law.
Dataset make_reviews(std::int64_t reviews) {
  const RandomKey key{.stream = RandomStream::kGeneratedReviews};
  Dataset data{.steps = kSteps};
  std::uint64_t position = 0;
  for (std::int64_t i = 0; i < reviews; ++i) {
    const double length = 178 * std::exp(1.2 * (random_uniform(key, position++) - 0.45));
    data.lengths.push_back(static_cast<std::int32_t>(std::min(length, static_cast<double>(kSteps))));
    data.labels.push_back(static_cast<std::int32_t>(i % 2));
    for (std::int64_t t = 0; t < kSteps; ++t) {
      const double word = 4 + std::pow(9990.0, static_cast<double>(random_uniform(key, position++)));
      data.ids.push_back(static_cast<std::int32_t>(word));
    }
  }
  return data;
}

/// A model in the middle of training: one batch selected, all passes done once.
struct Training {
  Training(const BackendOptions& options, std::int64_t batch)
      : backend(make_backend(options)),
        model(*backend, config, batch, kSteps),
        optimizer(*backend, {}, parameter_count(config)),
        reviews(make_reviews(batch)),
        data(to_device(*backend, reviews)),
        rows(backend->allocate<std::int32_t>(batch)),
        stats(backend->allocate<BatchStats>(1)) {
    std::vector<float> weights(model.parameters().size());
    initialise<float>(config, {.seed = 1}, weights);
    backend->upload(std::span<const float>(weights), model.parameters());
    std::vector<std::int32_t> order(static_cast<std::size_t>(batch));
    std::iota(order.begin(), order.end(), 0);
    backend->upload(std::span<const std::int32_t>(order), rows.span());
    all();
    backend->synchronize();
  }
  void select() { model.select(data, rows.span(), {.word_dropout = 0.2f, .dropout = 0.5f}); }
  void step() { optimizer.step(model, 1e-3, {.norm = 1}, stats.span()); }
  void backward() { model.backward(stats.span()); }
  void all() {
    select();
    model.forward();
    backward();
    step();
  }
  std::int64_t tokens() const {
    return std::accumulate(reviews.lengths.begin(), reviews.lengths.end(), std::int64_t{0});
  }

  ModelConfig config;
  std::unique_ptr<Backend<float>> backend;
  Classifier<float> model;
  Optimizer<float> optimizer;
  Dataset reviews;
  DeviceDataset data;
  Buffer<std::int32_t> rows;
  Buffer<BatchStats> stats;
};

template <class Part>
void time_part(benchmark::State& state, const BackendOptions& options, std::int64_t batch, Part part) {
  Training training(options, batch);
  while (state.KeepRunningBatch(kRuns)) {
    for (std::int64_t run = 0; run < kRuns; ++run) part(training);
    training.backend->synchronize();
  }
  state.SetItemsProcessed(state.iterations() * training.tokens());
}

void register_parts(const std::string& name, const BackendOptions& options, std::int64_t batch) {
  const auto add = [&](const std::string& part_name, auto part) {
    benchmark::RegisterBenchmark((part_name + "/" + name + "/batch:" + std::to_string(batch)).c_str(),
                                 [=](benchmark::State& state) { time_part(state, options, batch, part); })
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  };
  add("select_and_index", [](Training& t) { t.select(); });
  add("forward", [](Training& t) { t.model.forward(); });
  add("backward", [](Training& t) { t.backward(); });
  add("optimizer_step", [](Training& t) { t.step(); });
  add("training_step", [](Training& t) { t.all(); });
}

}  // namespace
}  // namespace reel

int main(int argc, char** argv) {
  using namespace reel;
  const std::span<char*> flags(argv, static_cast<std::size_t>(argc));
  const auto cuda = std::ranges::find(flags, std::string_view("--device=cuda"));
  if (cuda != flags.end()) {
    std::rotate(cuda, cuda + 1, flags.end());
    --argc;
    for (const std::int64_t batch : {64, 1024, 1, 8, 256, 4096}) {
      register_parts("float32", {.device = DeviceKind::kCuda}, batch);
      register_parts("mixed", {.device = DeviceKind::kCuda, .precision = Precision::kMixed}, batch);
    }
  } else {
    for (const int threads : {1, 2}) register_parts("threads:" + std::to_string(threads), {.threads = threads}, 64);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  try {
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernels_bench: %s\n", error.what());
    return 1;
  }
}
