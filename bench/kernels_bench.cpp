// Times operations and training steps on the CPU, as Google Benchmark does (a GPU: gpu_bench.cpp); V 10,000, E 128, T
// 200, lengths as in IMDB.
//
//   kernels_bench                  with one thread and with all, batch 64
//   kernels_bench --scaling        training steps by batch, steps, width, vocabulary and threads
//   kernels_bench --row-updates    the optimizer's part of steps by vocabulary, rows that a batch lacks updated with
//                                  every step or when they are next read; of various batches, after 300 steps
//   kernels_bench --data=FOLDER    reading this prepared folder
// and Google Benchmark's own flags. items_per_second: tokens; FLOP: multiply-adds count twice.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/operations.h"
#include "bench/training.h"
#include "host/text/corpus.h"
#include "kernels/check.h"
#include "kernels/make_backend.h"

namespace reel::bench {
namespace {

constexpr Shape kRecipe{.vocabulary = 10000, .embedding = 128, .hidden = 128, .batch = 64, .steps = 200};

/// One that fails is reported; the others go on.
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

/// Work is done several times before the clock is read.
template <class Work>
void time_work(benchmark::State& state, Work& work, void (Work::*part)()) {
  const std::int64_t runs = std::clamp(std::int64_t{200'000} / (work.tokens() + 1), std::int64_t{1}, std::int64_t{20});
  while (state.KeepRunningBatch(runs)) {
    for (std::int64_t run = 0; run < runs; ++run) (work.*part)();
  }
  state.SetItemsProcessed(state.iterations() * work.tokens());
}

void count_flop(benchmark::State& state, std::int64_t flop) {
  state.counters["FLOP/s"] =
      benchmark::Counter(static_cast<double>(state.iterations() * flop), benchmark::Counter::kIsRate);
}

void add_training(const std::string& name, const BackendOptions& options, const Shape& shape,
                  void (Training::*part)() = &Training::step) {
  add(name, [=](benchmark::State& state) {
    const auto backend = make_backend(options);
    Training training(*backend, shape);
    time_work(state, training, part);
    if (part == &Training::step) count_flop(state, training.flop());
  });
}

/// Throws unless mixed precision computes the recurrence of a few rows of this shape as float32 does.
void check_accuracy(Backend<float>& backend, Shape shape, bool ragged) {
  constexpr std::int64_t kRows = 8;
  constexpr double kMixed = 5e-2;
  shape.batch = std::min(shape.batch, kRows);
  const auto cpu = make_backend({});
  const double difference = relative_difference(Operations(backend, shape, ragged), Operations(*cpu, shape, ragged));
  if (!(difference <= kMixed)) fail("refused: the recurrence differs from float32's by {:.1e}", difference);
}

void add_training_parts(const std::string& variant, const BackendOptions& options, const Shape& shape) {
  const std::string suffix = "/" + variant + "/B:" + std::to_string(shape.batch);
  add_training("select" + suffix, options, shape, &Training::select);
  add_training("forward" + suffix, options, shape, &Training::forward);
  add_training("backward" + suffix, options, shape, &Training::backward);
  add_training("optimizer_step" + suffix, options, shape, &Training::optimizer_step);
  add_training("training_step" + suffix, options, shape);
}

/// FLOP of an operation's products, for each token or each distinct one.
void add_operation(const std::string& name, const BackendOptions& options, const Shape& shape, bool ragged,
                   void (Operations::*operation)(), std::int64_t flop_per_token, bool distinct = false) {
  const std::string steps = shape.steps == kRecipe.steps ? "" : "/T:" + std::to_string(shape.steps);
  const std::string cell = shape.cell == kRecipe.cell ? "" : std::string("/") + traits(shape.cell).name;
  const std::string suffix = "/B:" + std::to_string(shape.batch) + steps + "/H:" + std::to_string(shape.hidden) + cell;
  add(name + suffix + (ragged ? "/ragged" : "/full"), [=](benchmark::State& state) {
    const auto backend = make_backend(options);
    if (options.precision == Precision::kMixed) check_accuracy(*backend, shape, ragged);
    Operations operations(*backend, shape, ragged);
    time_work(state, operations, operation);
    const std::int64_t tokens = distinct ? operations.distinct_tokens() : operations.tokens();
    count_flop(state, tokens * flop_per_token);
  });
}

void add_recurrence(const std::string& variant, const BackendOptions& options, const Shape& shape, bool ragged) {
  const std::int64_t product = 2 * shape.gates() * shape.hidden;
  add_operation("recurrence_forward/" + variant, options, shape, ragged, &Operations::recurrence_forward, product);
  add_operation("recurrence_backward/" + variant, options, shape, ragged, &Operations::recurrence_backward,
                2 * product);
}

int all_threads() { return static_cast<int>(std::thread::hardware_concurrency()); }

/// `options` but for the threads.
void add_cpu(const std::string& precision, BackendOptions options) {
  for (const int threads : std::set{1, all_threads()}) {
    const std::string variant = precision + "/threads:" + std::to_string(threads);
    options.threads = threads;
    for (const bool ragged : {true, false}) add_recurrence(variant, options, kRecipe, ragged);
    for (const Cell cell : {Cell::kGru, Cell::kLstm}) {
      Shape shape = kRecipe;
      shape.cell = cell;
      add_recurrence(variant, options, shape, true);
      add_training("training_step/" + variant + "/B:" + std::to_string(shape.batch) + "/" + traits(cell).name, options,
                   shape);
    }
    add_training_parts(variant, options, kRecipe);
    if (options.precision == Precision::kMixed) continue;  // the rest is float32 all the same
    const std::int64_t product = 2 * kRecipe.embedding * kRecipe.hidden;
    add_operation("project/" + variant, options, kRecipe, true, &Operations::project, product, true);
    add_operation("embedding_gradient/" + variant, options, kRecipe, true, &Operations::embedding_gradient, 2 * product,
                  true);
  }
}

/// float32, and of kMixed what can be had here: what it takes is "mixed".
void add_precisions() {
  add_cpu("float32", {});
  for (const MixedProducts products : {MixedProducts::kBf16, MixedProducts::kAmx}) {
    if (!cpu_has(products)) continue;
    add_cpu(products == fastest_mixed_products() ? "mixed" : name_of(products),
            {.precision = Precision::kMixed, .mixed_products = products});
  }
}

/// The recipe's step with one of its numbers changed.
void add_scaling() {
  const auto add_steps = [](const std::string& what, std::int64_t Shape::*number,
                            std::initializer_list<std::int64_t> values) {
    for (const std::int64_t value : values) {
      Shape shape = kRecipe;
      shape.*number = value;
      add_training("training_step/" + what + ":" + std::to_string(value), {}, shape);
    }
  };
  add_steps("batch", &Shape::batch, {1, 4, 16, 64, 256, 1024, 4096});
  add_steps("steps", &Shape::steps, {50, 100, 200, 400, 1000});
  add_steps("hidden", &Shape::hidden, {64, 128, 256, 512, 1024});
  add_steps("vocabulary", &Shape::vocabulary, {1000, 10000, 50000, 200000});
  for (int threads = 1; threads <= all_threads(); threads *= 2) {
    add_training("training_step/threads:" + std::to_string(threads), {.threads = threads}, kRecipe);
  }
}

/// Clipping is as long either way, and left out.
double optimizer_seconds(Backend<float>& backend) {
  double seconds = 0;
  for (const RangeTiming& range : backend.timings()) {
    if (range.name == OptimizerStep<float>::kName || range.name == CatchUp<float>::kName) seconds += range.seconds;
  }
  return seconds;
}

void add_row_updates() {
  constexpr std::int64_t kStepsBefore = 300;
  for (const std::int64_t vocabulary : {10000, 15000, 20000, 30000, 50000, 100000, 200000}) {
    for (const auto& [name, updates] :
         {std::pair("every_step", RowUpdates::kEveryStep), {"when_read", RowUpdates::kWhenRead}}) {
      for (const int threads : std::set{1, all_threads()}) {
        Shape shape = kRecipe;
        shape.vocabulary = vocabulary;
        const auto run = [=](benchmark::State& state) {
          const auto backend = make_backend({.threads = threads, .timings = true});
          Training training(*backend, shape, kStepsBefore, updates);
          for (std::int64_t step = 0; step < kStepsBefore; ++step) training.step();
          for (auto _ : state) {
            const double before = optimizer_seconds(*backend);
            training.step();
            state.SetIterationTime(optimizer_seconds(*backend) - before);
          }
        };
        const std::string full = "optimizer/V:" + std::to_string(vocabulary) + "/" + name;
        benchmark::RegisterBenchmark((full + "/threads:" + std::to_string(threads)).c_str(), run)
            ->Unit(benchmark::kMicrosecond)
            ->Iterations(kStepsBefore)
            ->UseManualTime();
      }
    }
  }
}

void add_loading(const std::string& folder) {
  add("load_prepared", [=](benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(read_corpus(folder));
  });
}

/// Takes the flag out of the arguments: what stands after it, or nothing where it is missing.
std::optional<std::string> take_flag(int& argc, char** argv, std::string_view flag) {
  const std::span<char*> flags(argv, static_cast<std::size_t>(argc));
  const auto found = std::ranges::find_if(flags, [&](std::string_view given) { return given.starts_with(flag); });
  if (found == flags.end()) return std::nullopt;
  const std::string value(std::string_view(*found).substr(flag.size()));
  std::rotate(found, found + 1, flags.end());
  --argc;
  return value;
}

}  // namespace
}  // namespace reel::bench

int main(int argc, char** argv) {
  using namespace reel::bench;
  try {
    if (take_flag(argc, argv, "--scaling")) {
      add_scaling();
    } else if (take_flag(argc, argv, "--row-updates")) {
      add_row_updates();
    } else if (const auto data = take_flag(argc, argv, "--data=")) {
      add_loading(*data);
    } else {
      add_precisions();
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernels_bench: %s\n", error.what());
    return 1;
  }
}
