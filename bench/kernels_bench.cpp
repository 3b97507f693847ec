// Times each part of a training step at the recipe's shape: V 10,000, E 128, H 128, B 64, T 200, lengths as in IMDB.
// Arguments of each benchmark: threads. Tokens a second are in the column items_per_second.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/model/classifier.h"
#include "host/model/optimizer.h"
#include "kernels/philox.h"

namespace reel {
namespace {

constexpr std::int64_t kReviews = 64, kSteps = 200;

/// Reviews with the length distribution and word frequencies of IMDB, roughly: 57 % shorter than 200, Zipf's law.
Dataset make_reviews() {
  const RandomKey key{.stream = RandomStream::kGeneratedReviews};
  Dataset data{.steps = kSteps};
  std::uint64_t position = 0;
  for (std::int64_t i = 0; i < kReviews; ++i) {
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
  explicit Training(int threads)
      : backend(make_cpu_backend<float>(threads)),
        model(*backend, config, kReviews, kSteps),
        optimizer(*backend, {}, parameter_count(config)),
        reviews(make_reviews()),
        data(to_device(*backend, reviews)),
        rows(kReviews),
        stats(1) {
    initialise<float>(config, {.seed = 1}, model.parameters());
    std::iota(rows.begin(), rows.end(), 0);
    select();
    model.forward();
    model.backward(stats);
  }
  void select() { model.select(data, rows, {.word_dropout = 0.2f, .dropout = 0.5f}); }
  void step() { optimizer.step(model, 1e-3, {.norm = 1}, stats); }
  std::int64_t tokens() const {
    return std::accumulate(reviews.lengths.begin(), reviews.lengths.end(), std::int64_t{0});
  }

  ModelConfig config;
  std::unique_ptr<Backend<float>> backend;
  Classifier<float> model;
  Optimizer<float> optimizer;
  Dataset reviews;
  DeviceDataset data;
  std::vector<std::int32_t> rows;
  std::vector<BatchStats> stats;
};

template <class Part>
void time_part(benchmark::State& state, Part part) {
  Training training(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    part(training);
    training.backend->synchronize();
  }
  state.SetItemsProcessed(state.iterations() * training.tokens());
}

void select_and_index(benchmark::State& state) {
  time_part(state, [](Training& t) { t.select(); });
}
void forward(benchmark::State& state) {
  time_part(state, [](Training& t) { t.model.forward(); });
}
void backward(benchmark::State& state) {
  time_part(state, [](Training& t) { t.model.backward(t.stats); });
}
void optimizer_step(benchmark::State& state) {
  time_part(state, [](Training& t) { t.step(); });
}
void training_step(benchmark::State& state) {
  time_part(state, [](Training& t) {
    t.select();
    t.model.forward();
    t.model.backward(t.stats);
    t.step();
  });
}

void threads(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("threads")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();
}
BENCHMARK(select_and_index)->Apply(threads);
BENCHMARK(forward)->Apply(threads);
BENCHMARK(backward)->Apply(threads);
BENCHMARK(optimizer_step)->Apply(threads);
BENCHMARK(training_step)->Apply(threads);

}  // namespace
}  // namespace reel

BENCHMARK_MAIN();
