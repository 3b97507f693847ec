// Times operations and training steps, as Google Benchmark does; V 10,000, E 128, lengths as in IMDB.
//
//   kernels_bench                  the CPU with 1 and 2 threads, batch 64
//   kernels_bench --device=cuda    the GPU: Reel in both precisions and cuDNN with every algorithm
// and Google Benchmark's own flags. Work is enqueued kRuns times before the clock waits for it, as training does.
// items_per_second: tokens; FLOP: multiply-adds count twice.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <span>
#include <string_view>

#include "bench/operations.h"
#include "bench/reviews.h"
#include "host/model/classifier.h"
#include "host/model/optimizer.h"
#include "kernels/make_backend.h"

namespace reel::bench {
namespace {

constexpr std::int64_t kVocabulary = 10000, kSteps = 200, kRuns = 20;

/// A model in the middle of training: one batch selected, all passes done once.
struct Training {
  Training(const BackendOptions& options, std::int64_t batch)
      : backend(make_backend(options)),
        model(*backend, config, batch, kSteps),
        optimizer(*backend, {}, parameter_count(config)),
        reviews(make_reviews(batch, kSteps, kVocabulary, true)),
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
  void forward() { model.forward(); }
  void backward() { model.backward(stats.span()); }
  void all() {
    select();
    forward();
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

using TrainingPart = void (Training::*)();
using Operation = void (Operations::*)();

template <class Work>
void time_work(benchmark::State& state, Work& work, void (Work::*part)(), const auto& wait) {
  while (state.KeepRunningBatch(kRuns)) {
    for (std::int64_t run = 0; run < kRuns; ++run) (work.*part)();
    wait();
  }
  state.SetItemsProcessed(state.iterations() * work.tokens());
}

/// One that fails is reported, as where an algorithm of cuDNN refuses a width; the others go on.
void add(const std::string& name, const auto& function) {
  const auto run = [=](benchmark::State& state) {
    try {
      function(state);
    } catch (const std::exception& error) {
      state.SkipWithError(error.what());
    }
  };
  benchmark::RegisterBenchmark(name.c_str(), run)->Unit(benchmark::kMicrosecond)->UseRealTime();
}

void add_training(const std::string& variant, const BackendOptions& options, std::int64_t batch) {
  const auto add_part = [&](const std::string& name, TrainingPart part) {
    add(name + "/" + variant + "/B:" + std::to_string(batch), [=](benchmark::State& state) {
      Training training(options, batch);
      time_work(state, training, part, [&] { training.backend->synchronize(); });
    });
  };
  add_part("select_and_index", &Training::select);
  add_part("forward", &Training::forward);
  add_part("backward", &Training::backward);
  add_part("optimizer_step", &Training::step);
  add_part("training_step", &Training::all);
}

struct Size {
  std::int64_t batch, hidden;
  bool ragged;
};

void add_operation(const std::string& name, const std::string& variant, const BackendOptions& options, const Size& size,
                   Operation operation, std::int64_t flop_per_token) {
  const Shape shape{
      .vocabulary = kVocabulary, .embedding = 128, .hidden = size.hidden, .batch = size.batch, .steps = kSteps};
  const std::string place =
      "/B:" + std::to_string(size.batch) + "/H:" + std::to_string(size.hidden) + (size.ragged ? "/ragged" : "/full");
  add(name + "/" + variant + place, [=](benchmark::State& state) {
    Operations operations(options, shape, size.ragged);
    time_work(state, operations, operation, [&] { operations.synchronize(); });
    if (flop_per_token == 0) return;
    const auto flop = static_cast<double>(state.iterations() * operations.tokens() * flop_per_token);
    state.counters["FLOP/s"] = benchmark::Counter(flop, benchmark::Counter::kIsRate);
  });
}

void add_recurrence(const std::string& variant, const BackendOptions& options, const Size& size) {
  const std::int64_t product = 2 * size.hidden * size.hidden;
  add_operation("recurrence_forward", variant, options, size, &Operations::recurrence_forward, product);
  add_operation("recurrence_backward", variant, options, size, &Operations::recurrence_backward, 2 * product);
}

void add_cpu() {
  for (const int threads : {1, 2}) {
    const std::string variant = "threads:" + std::to_string(threads);
    const BackendOptions options{.threads = threads};
    const Size recipe{64, 128, true};
    add_recurrence(variant, options, recipe);
    add_recurrence(variant, options, {64, 128, false});
    add_operation("project", variant, options, recipe, &Operations::project, 0);
    add_operation("embedding_gradient", variant, options, recipe, &Operations::embedding_gradient, 0);
    add_training(variant, options, 64);
  }
}

void add_cuda() {
  const BackendOptions float32{.device = DeviceKind::kCuda},
      mixed{.device = DeviceKind::kCuda, .precision = Precision::kMixed};
  for (const std::int64_t batch : {64, 1024, 1, 8, 256, 4096}) {
    add_training("float32", float32, batch);
    add_training("mixed", mixed, batch);
  }
  for (const Size& size : {Size{64, 128, true}, Size{1024, 128, true}, Size{64, 128, false}, Size{64, 256, true},
                           Size{64, 512, true}, Size{64, 1024, true}, Size{1024, 1024, true}}) {
    add_recurrence("float32", float32, size);
    add_recurrence("mixed", mixed, size);
    for (const auto& [algorithm, recurrence] : {std::pair{"standard", Recurrence::kCudnnStandard},
                                                {"persist-static", Recurrence::kCudnnPersistStatic},
                                                {"persist-dynamic", Recurrence::kCudnnPersistDynamic},
                                                {"persist-small-h", Recurrence::kCudnnPersistSmallHidden}}) {
      for (BackendOptions options : {float32, mixed}) {
        options.recurrence = recurrence;
        const char* const precision = options.precision == Precision::kMixed ? "-mixed" : "";
        add_recurrence(std::string("cudnn-") + algorithm + precision, options, size);
      }
    }
  }
}

}  // namespace
}  // namespace reel::bench

int main(int argc, char** argv) {
  const std::span<char*> flags(argv, static_cast<std::size_t>(argc));
  const auto cuda = std::ranges::find(flags, std::string_view("--device=cuda"));
  try {
    if (cuda != flags.end()) {
      std::rotate(cuda, cuda + 1, flags.end());
      --argc;
      static_cast<void>(reel::make_backend({.device = reel::DeviceKind::kCuda}));  // or why there is none
      reel::bench::add_cuda();
    } else {
      reel::bench::add_cpu();
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernels_bench: %s\n", error.what());
    return 1;
  }
}
