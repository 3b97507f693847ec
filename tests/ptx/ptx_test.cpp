// The PTX of Reel's kernels against the emulator: the same operations, bit for bit. This proves the operands of inline
// assembly, which the emulator replaces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "host/model/model.h"
#include "host/model/optimizer.h"
#include "tests/emulator/kernel_names.h"
#include "tests/emulator/scheduler.h"
#include "tests/kernels/devices.h"
#include "tests/kernels/problem.h"
#include "tests/kernels/reference.h"
#include "tests/kernels/run_problem.h"
#include "tests/ptx/module.h"

namespace reel::ptx {
namespace {

using test::Problem;
using test::Results;
using test::TestDevice;

/// All kernels that nvcc has compiled, and which of them have run.
class PtxKernels {
 public:
  PtxKernels() {
    for (const auto& entry : std::filesystem::directory_iterator(REEL_PTX_FOLDER)) {
      if (entry.path().extension() != ".ptx") continue;
      std::ostringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      modules_.emplace_back(text.str());
    }
  }

  /// Runs all launches from here on but those of kernels whose name contains `except`.
  void replace(const std::string& except, std::uint64_t seed) {
    emulator::substitute() = [this, except, seed](const emulator::LaunchConfig& config,
                                                  const emulator::KernelCall& call) {
      const std::string name = emulator::kernel_name(call.kernel);
      if (name.find(except) != std::string::npos) return false;
      const Kernel& kernel = find(name);
      execute(kernel, {config.grid, config.block, config.shared, config.cluster, seed},
              {static_cast<const std::byte*>(call.argument), call.argument_size});
      executed_.insert(kernel.name);
      return true;
    };
  }
  static void restore() { emulator::substitute() = nullptr; }

  /// Kernels that have not run, but those whose name contains `except`.
  std::set<std::string> missing(const std::string& except) const {
    std::set<std::string> names;
    for (const Module& module : modules_) {
      for (const Kernel& kernel : module.kernels()) {
        if (kernel.name.find(except) == std::string::npos && !executed_.contains(kernel.name))
          names.insert(kernel.name);
      }
    }
    return names;
  }

 private:
  const Kernel& find(const std::string& name) const {
    for (const Module& module : modules_) {
      if (const Kernel* const kernel = module.find(name)) return *kernel;
    }
    throw Error("no PTX of " + name);
  }

  std::vector<Module> modules_;
  std::set<std::string> executed_;
};

const TestDevice kFloat32Device = test::cuda_device();
const TestDevice kMixedDevice = test::cuda_device("Mixed", Precision::kMixed);
const TestDevice kCudnnDevice = test::cuda_device("Cudnn", Precision::kFloat32, Recurrence::kCudnn);

Results run(const TestDevice& device, const Problem& problem) { return test::run_problem(*device.make(), problem); }

/// Every width that a kernel is compiled for, units moved four at once, one by one and packed, with ragged and empty
/// rows; vocabularies above and below a batch's cells.
std::vector<Problem> problems(Cell cell, Pool pool = Pool::kMean) {
  std::vector<Problem> problems;
  for (const std::int64_t hidden : {20, 21, 24, 67, 68, 72, 130, 132, 136, 300, 385, 520}) {
    const bool packs = traits(cell).bounded && (traits(cell).gates == 1 || hidden <= 128);
    if (hidden % 8 == 0 && hidden < 256 && !packs) continue;                         // of sequences that are packed
    if (hidden > 256 && pool == Pool::kConcat && traits(cell).gates == 1) continue;  // a maximum goes back step by step
    const bool wide = hidden > 256;                                                  // slow
    const test::Shape shape{
        .vocabulary = hidden, .embedding = 5, .hidden = hidden, .batch = wide ? 6 : 10, .steps = wide ? 6 : 9};
    problems.push_back(test::make_problem(shape, pool, cell));
  }
  // A row to each of the emulator's two clusters; a block that walks through two tiles of tensor cores.
  for (const auto& [hidden, batch] : {std::pair{130, 2}, {67, 17}}) {
    const test::Shape shape{.vocabulary = hidden, .embedding = 5, .hidden = hidden, .batch = batch, .steps = 9};
    problems.push_back(test::make_problem(shape, pool, cell));
  }
  return problems;
}

/// The head's other losses: labels, targets and weights; more logits than a block has threads.
std::vector<Problem> problems_of_outputs() {
  std::vector<Problem> problems;
  for (const test::Outputs& outputs : {test::Outputs{.weights = true, .positive_weights = true},
                                       {.loss = Loss::kSquared, .targets = true},
                                       {.count = 3, .loss = Loss::kSoftmax, .weights = true},
                                       {.count = 300, .loss = Loss::kSoftmax, .targets = true},
                                       {.count = 40, .targets = true, .weights = true, .positive_weights = true}}) {
    problems.push_back(test::make_problem({20, 5, 20, 10, 9}, Pool::kConcat, Cell::kTanh, 0.25f, 1, outputs));
  }
  return problems;
}

void expect_same_bits(const Results& actual, const Results& expected) {
  EXPECT_EQ(actual.h, expected.h);
  EXPECT_EQ(actual.pooled, expected.pooled);
  EXPECT_EQ(actual.logits, expected.logits);
  EXPECT_EQ(actual.loss_sum, expected.loss_sum);
  EXPECT_EQ(actual.correct, expected.correct);
  EXPECT_EQ(actual.d_fc_weight, expected.d_fc_weight);
  EXPECT_EQ(actual.d_fc_bias, expected.d_fc_bias);
  EXPECT_EQ(actual.d_state, expected.d_state);
  EXPECT_EQ(actual.dz, expected.dz);
  EXPECT_EQ(actual.d_w_hh, expected.d_w_hh);
  EXPECT_EQ(actual.d_b_hh, expected.d_b_hh);
  EXPECT_EQ(actual.d_embedding, expected.d_embedding);
  EXPECT_EQ(actual.d_w_ih, expected.d_w_ih);
  EXPECT_EQ(actual.d_bias, expected.d_bias);
}

/// Parameters after three steps of two layers in both directions on one row of every length up to 6.
std::vector<float> train(const TestDevice& device, OptimizerKind kind, Cell cell = Cell::kTanh,
                         RowUpdates updates = RowUpdates::kEveryStep) {
  const ModelConfig config{.vocabulary = 50,
                           .embedding = 6,
                           .hidden = 20,
                           .cell = cell,
                           .layers = 2,
                           .bidirectional = true,
                           .pool = Pool::kConcat};
  const auto backend = device.make();
  Model<float> model(*backend, config, 7, 6);
  std::vector<float> weights(model.parameters().size());
  initialise<float>(config, {.seed = 3}, weights);
  backend->upload(std::span<const float>(weights), model.parameters());
  Optimizer<float> optimizer(model, default_settings(kind, Convention::kTorch), updates);
  Dataset data{.steps = 6, .labels = {0, 1, 0, 1, 1, 0, 1}};
  for (std::int32_t i = 0; i < 42; ++i) data.ids.push_back(i * 17 % 50);
  for (std::int32_t length = 0; length < 7; ++length) data.lengths.push_back(length);
  const DeviceDataset on_device = to_device(*backend, data);
  const std::vector<std::int32_t> order = {6, 5, 4, 3, 2, 1, 0};
  auto rows = backend->allocate<std::int32_t>(7);
  backend->upload(std::span<const std::int32_t>(order), rows.span());
  auto stats = backend->allocate<BatchStats>(2);
  auto clock = backend->allocate<StepClock>(2);
  optimizer.follow(
      clock.data(), [](std::int64_t step) { return 0.01 / static_cast<double>(1 + step); }, 3);
  optimizer.put_rates();
  for (int step = 0; step < 3; ++step) {
    backend->run(BeginStep{.clock = clock.span(), .rows = 7, .slots = 2});
    model.select(on_device, rows.span(),
                 {.clock = clock.data(),
                  .rows = 7,
                  .word_dropout = 0.3f,
                  .embedding_dropout = 0.2f,
                  .layer_dropout = 0.2f,
                  .bptt = backend->projects_input(cell) ? 0 : 4});
    model.forward();
    model.backward(stats.span());
    optimizer.step({.norm = 0.1, .value = 0.05}, stats.span());
    optimizer.count_step();
  }
  backend->download(std::as_const(model).parameters(), std::span(weights));
  return weights;
}

/// The logits of an LSTM after each of three words, with the state kept.
std::vector<float> stream(const TestDevice& device) {
  const ModelConfig config{.vocabulary = 50, .embedding = 6, .hidden = 20, .cell = Cell::kLstm};
  const auto backend = device.make();
  Model<float> model(*backend, config, 1, 1);
  std::vector<float> weights(model.parameters().size()), logits;
  initialise<float>(config, {.seed = 3}, weights);
  backend->upload(std::span<const float>(weights), model.parameters());
  model.keep_state();
  for (const std::int32_t id : {7, 3, 7}) {
    const std::array ids = {id}, lengths = {std::int32_t{1}};
    model.load(ids, lengths, {});
    model.forward();
    backend->download(model.logits(), std::span(&logits.emplace_back(), 1));
    model.carry_state();
  }
  return logits;
}

/// The head's exponential and logarithm are nvcc's own code there: it is compared with float64 below.
constexpr const char* kHead = "head_";

TEST(Ptx, IsTheEmulatorBitForBit) {
  PtxKernels kernels;
  for (const TestDevice& device : {kFloat32Device, kMixedDevice, kCudnnDevice}) {
    for (const CellTraits& traits : kCells) {
      std::vector<Pool> pools = {Pool::kLast};
      if (device.recurrence == Recurrence::kReel) pools = {Pool::kConcat};
      const bool mixed = device.precision == Precision::kMixed;  // has kernels without what goes back step by step
      if (device.recurrence == Recurrence::kReel && (traits.gates == 1 || mixed)) pools.push_back(Pool::kMean);
      for (const Pool pool : pools) {
        for (const Problem& problem : problems(traits.cell, pool)) {
          const Results expected = run(device, problem);
          for (const std::uint64_t seed : {0u, 7u}) {
            SCOPED_TRACE(device.name + " H " + std::to_string(problem.shape.hidden) + " seed " + std::to_string(seed));
            kernels.replace(kHead, seed);
            const Results actual = run(device, problem);
            PtxKernels::restore();
            expect_same_bits(actual, expected);
          }
        }
      }
    }
  }
  for (const Problem& problem : problems_of_outputs()) {
    const Results expected = run(kFloat32Device, problem);
    kernels.replace(kHead, 7);
    const Results actual = run(kFloat32Device, problem);
    PtxKernels::restore();
    expect_same_bits(actual, expected);
  }
  for (const OptimizerKind kind :
       {OptimizerKind::kAdam, OptimizerKind::kSgd, OptimizerKind::kRmsprop, OptimizerKind::kAdagrad}) {
    for (const RowUpdates updates : {RowUpdates::kEveryStep, RowUpdates::kWhenRead}) {
      const std::vector<float> expected = train(kFloat32Device, kind, Cell::kTanh, updates);
      kernels.replace(kHead, 3);
      const std::vector<float> actual = train(kFloat32Device, kind, Cell::kTanh, updates);
      PtxKernels::restore();
      EXPECT_EQ(actual, expected) << "optimizer " << static_cast<int>(kind);
    }
  }
  const auto on_cudnn = [] {
    std::vector<float> values = train(kCudnnDevice, OptimizerKind::kAdam, Cell::kGru), logits = stream(kCudnnDevice);
    values.insert(values.end(), logits.begin(), logits.end());
    return values;
  };
  const std::vector<float> expected = on_cudnn();
  kernels.replace(kHead, 3);
  const std::vector<float> actual = on_cudnn();
  PtxKernels::restore();
  EXPECT_EQ(actual, expected) << "layers that cuDNN projects";
  EXPECT_THAT(kernels.missing("head"), testing::IsEmpty()) << "never executed";
}

/// Shared arrays are read as float4 and by ldmatrix, 16 bytes at once: an array that is declared with less alignment
/// would have it by chance.
TEST(Ptx, SharedArraysAreAlignedForVectors) {
  static const std::regex declaration(R"(\.shared \.align (\d+) .*?(\w+)(\[\d*\])?;)");
  int arrays = 0;
  for (const auto& entry : std::filesystem::directory_iterator(REEL_PTX_FOLDER)) {
    if (entry.path().extension() != ".ptx") continue;
    std::ifstream file(entry.path());
    std::smatch match;
    for (std::string line; std::getline(file, line);) {
      if (!std::regex_search(line, match, declaration)) continue;
      ++arrays;
      EXPECT_GE(std::stoi(match[1]), 16) << entry.path().filename() << ": " << match[2];
    }
  }
  EXPECT_GT(arrays, 20);
}

TEST(Ptx, OfEveryKernelAgreesWithFloat64) {
  PtxKernels kernels;
  std::vector<Problem> all = problems(Cell::kTanh);
  std::ranges::move(problems_of_outputs(), std::back_inserter(all));
  for (const Problem& problem : all) {
    const Results expected = test::reference(problem);
    kernels.replace("no exception", 5);
    const Results actual = run(kFloat32Device, problem);
    PtxKernels::restore();
    const auto compare = [&](const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
      double largest = 1e-3;
      for (const double x : b) largest = std::max(largest, std::abs(x));
      EXPECT_THAT(a, testing::Pointwise(testing::DoubleNear(tolerance * largest), b));
    };
    compare(actual.logits, expected.logits, kFloat32Device.tolerances.forward);
    compare({actual.loss_sum}, {expected.loss_sum}, kFloat32Device.tolerances.forward);
    EXPECT_EQ(actual.correct, expected.correct);
    compare(actual.d_fc_weight, expected.d_fc_weight, kFloat32Device.tolerances.gradient);
    compare(actual.d_fc_bias, expected.d_fc_bias, kFloat32Device.tolerances.gradient);
    compare(actual.d_embedding, expected.d_embedding, kFloat32Device.tolerances.gradient);
  }
  const std::set<std::string> missing = kernels.missing("no exception");
  EXPECT_THAT(missing, testing::Each(testing::Not(testing::HasSubstr(kHead)))) << "never executed";
}

}  // namespace
}  // namespace reel::ptx
