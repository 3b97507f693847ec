// Every operation of every backend against float64, over shapes that fit nothing: one body for all devices.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "hwy/targets.h"
#include "kernels/make_backend.h"
#include "kernels/philox.h"
#include "tests/kernels/devices.h"
#include "tests/kernels/problem.h"
#include "tests/kernels/reference.h"
#include "tests/kernels/run_problem.h"
#include "tests/kernels/tolerances.h"
#include "tests/support/support.h"

namespace reel::test {
namespace {

void expect_near(const std::vector<double>& actual, const std::vector<double>& expected, double tolerance,
                 const char* name) {
  ASSERT_EQ(actual.size(), expected.size()) << name;
  double largest = 1e-3;
  for (const double x : expected) largest = std::max(largest, std::abs(x));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_LE(std::abs(actual[i] - expected[i]), tolerance * largest)
        << name << '[' << i << "] is " << actual[i] << ", expected " << expected[i];
  }
}

/// The states, of h [T+1, B, H], that `argmax` says are largest.
std::vector<double> states_at(const std::vector<double>& argmax, const Results& results) {
  std::vector<double> states;
  for (std::size_t i = 0; i < argmax.size(); ++i) {
    states.push_back(argmax[i] < 0 ? 0 : results.h[(static_cast<std::size_t>(argmax[i]) + 1) * argmax.size() + i]);
  }
  return states;
}

/// Rows, longest first.
std::vector<double> by_length(const Problem& problem) {
  std::vector<double> rows;
  for (std::int64_t b = 0; b < problem.shape.batch; ++b) rows.push_back(static_cast<double>(b));
  std::ranges::stable_sort(rows, std::greater(),
                           [&](double b) { return problem.lengths[static_cast<std::size_t>(b)]; });
  return rows;
}

void expect_results_of(const Problem& problem, const Results& actual, const Tolerances& tolerances) {
  const double forward = tolerances.forward, gradient = tolerances.gradient;
  const Results expected = reference(problem, actual.argmax);
  EXPECT_EQ(actual.by_length, by_length(problem));
  expect_near(states_at(actual.argmax, expected), states_at(expected.argmax, expected), forward, "states at argmax");
  expect_near(actual.h, expected.h, forward, "h");
  expect_near(actual.pooled, expected.pooled, forward, "pooled");
  expect_near(actual.logits, expected.logits, forward, "logits");
  expect_near({actual.loss_sum}, {expected.loss_sum}, forward, "loss_sum");
  EXPECT_EQ(actual.correct, expected.correct);
  expect_near(actual.d_fc_weight, expected.d_fc_weight, gradient, "d_fc_weight");
  expect_near(actual.d_fc_bias, expected.d_fc_bias, gradient, "d_fc_bias");
  expect_near(actual.d_state, expected.d_state, gradient, "d_state");
  if (!actual.dz.empty()) expect_near(actual.dz, expected.dz, gradient, "dz");
  expect_near(actual.d_w_hh, expected.d_w_hh, gradient, "d_w_hh");
  expect_near(actual.d_b_hh, expected.d_b_hh, gradient, "d_b_hh");
  expect_near(actual.d_embedding, expected.d_embedding, gradient, "d_embedding");
  expect_near(actual.d_w_ih, expected.d_w_ih, gradient, "d_w_ih");
  expect_near(actual.d_bias, expected.d_bias, gradient, "d_bias");
}

void expect_same_bits(const Results& actual, const Results& expected) {
  EXPECT_EQ(actual.h, expected.h);
  EXPECT_EQ(actual.logits, expected.logits);
  EXPECT_EQ(actual.loss_sum, expected.loss_sum);
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

struct Case {
  Shape shape;  // {V, E, H, B, T}
  Pool pool = Pool::kLast;
  Cell cell = Cell::kTanh;
  float dropout = 0;
  Outputs outputs{};

  Problem problem() const { return make_problem(shape, pool, cell, dropout, 1, outputs); }
};

class Operations : public testing::TestWithParam<Case> {
 protected:
  Problem problem() const { return GetParam().problem(); }
};

class DeviceOperations : public testing::TestWithParam<std::tuple<TestDevice, Case>> {
 protected:
  const TestDevice& device() const { return std::get<0>(GetParam()); }
  Problem problem() const { return std::get<1>(GetParam()).problem(); }
};

TEST_P(DeviceOperations, AgreeWithFloat64) {
  REEL_REQUIRE_DEVICE(device());
  const auto backend = device().make();
  const Results actual = run_problem(*backend, problem());
  EXPECT_EQ(actual.dz.empty(), backend->projects_input(problem().cell));
  expect_results_of(problem(), actual, device().tolerances);
}

TEST_P(DeviceOperations, RepeatBitForBit) {
  REEL_REQUIRE_DEVICE(device());
  const auto backend = device().make();
  const Results first = run_problem(*backend, problem());
  for (int run = 0; run < (device().kind == DeviceKind::kCuda && kEmulated ? 1 : 9); ++run) {
    expect_same_bits(run_problem(*backend, problem()), first);
  }
}

TEST_P(DeviceOperations, TakeRowsInAnyOrderBitForBit) {
  REEL_REQUIRE_DEVICE(device());
  const auto backend = device().make();
  expect_same_bits(run_problem(*backend, problem(), false), run_problem(*backend, problem(), true));
}

TEST_P(Operations, CpuDoubleAgreesWithFloat64) {
  const auto backend = make_cpu_backend<double>(2);
  expect_results_of(problem(), run_problem(*backend, problem()), kFloat64);
}

/// Rows enough to be written past the caches.
TEST(CpuOperations, OfManyRowsAgreeWithFloat64) {
  for (const Cell cell : {Cell::kGru, Cell::kLstm}) {
    const Problem problem = make_problem({50, 8, 128, 64, 44}, Pool::kMean, cell);
    SCOPED_TRACE(traits(cell).name);
    expect_results_of(problem, run_problem(*make_cpu_backend<float>(2), problem), kFloat32);
  }
}

TEST(CpuOperations, OfTenThousandClassesAgreeWithFloat64) {
  for (const bool targets : {false, true}) {
    const Outputs outputs{.count = 10'000, .loss = Loss::kSoftmax, .targets = targets, .weights = true};
    const Problem problem = make_problem({20, 4, 17, 9, 3}, Pool::kMean, Cell::kTanh, 0, 1, outputs);
    const Results one = run_problem(*make_cpu_backend<float>(1), problem);
    expect_results_of(problem, one, kFloat32);
    expect_same_bits(run_problem(*make_cpu_backend<float>(3), problem), one);
  }
}

/// What a machine with fewer vector instructions runs.
TEST_P(Operations, EveryInstructionSetAgreesWithFloat64) {
  const auto backend = make_cpu_backend<float>(1);
  for (std::int64_t targets = hwy::SupportedTargets(); targets != 0; targets &= targets - 1) {
    const std::int64_t target = targets & -targets;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    expect_results_of(problem(), run_problem(*backend, problem()), kFloat32);
    hwy::SetSupportedTargetsForTest(0);
  }
}

TEST_P(Operations, AnyNumberOfThreadsGivesTheSameBits) {
  // Of float32 as kMixed they are the same as without.
  for (const MixedProducts products : {MixedProducts::kFloat32, MixedProducts::kBf16, MixedProducts::kAmx}) {
    SCOPED_TRACE(name_of(products));
    if (!cpu_has(products)) continue;  // Devices has a test of each, which skips by name
    BackendOptions options{.precision = Precision::kMixed, .mixed_products = products, .threads = 1};
    const Results one = run_problem(*make_cpu_backend<float>(options), problem());
    if (products == MixedProducts::kFloat32) expect_same_bits(run_problem(*make_cpu_backend<float>(1), problem()), one);
    for (const int threads : {2, 3, 7}) {
      SCOPED_TRACE(threads);
      options.threads = threads;
      const Results many = run_problem(*make_cpu_backend<float>(options), problem());
      expect_same_bits(many, one);
    }
  }
}

TEST(Recurrence, PacksSequencesWhereTensorCoresRunBothWays) {
  if (!kEmulated) GTEST_SKIP() << "the same decisions";
  const auto packs = [](std::int64_t hidden, Precision precision = Precision::kMixed, bool has_steps = false,
                        Cell cell = Cell::kTanh, std::int64_t batch = 9) {
    const SequenceShape shape{.batch = batch, .steps = 5, .hidden = hidden};
    return cuda_device("", precision).make()->packs_sequences(cell, shape, 10, has_steps);
  };
  for (const std::int64_t hidden : {8, 64, 128, 200, 256}) EXPECT_TRUE(packs(hidden)) << hidden;
  for (const std::int64_t hidden : {7, 12, 132, 257, 264}) EXPECT_FALSE(packs(hidden)) << hidden;
  EXPECT_FALSE(packs(128, Precision::kFloat32));
  EXPECT_FALSE(packs(128, Precision::kMixed, true));
  EXPECT_FALSE(packs(128, Precision::kMixed, false, Cell::kRelu));
  for (const Cell cell : {Cell::kGru, Cell::kLstm}) {
    for (const std::int64_t hidden : {8, 64, 72, 128}) EXPECT_TRUE(packs(hidden, Precision::kMixed, false, cell));
    for (const std::int64_t hidden : {7, 12, 136}) EXPECT_FALSE(packs(hidden, Precision::kMixed, false, cell));
    EXPECT_FALSE(packs(128, Precision::kMixed, true, cell));
    EXPECT_FALSE(packs(128, Precision::kMixed, false, cell, 2)) << "a cluster for each row is faster";
  }
}

/// Pins the dispatch: a shape that stops selecting a kernel silently loses its coverage.
TEST(Recurrence, IsChosenByShapeAndPrecisionOnTheEmulator) {
  if (!kEmulated) GTEST_SKIP() << "a GPU runs more clusters at once than the emulator";
  const auto describe = [&](std::int64_t hidden, std::int64_t batch, Precision precision = Precision::kFloat32,
                            Recurrence recurrence = Recurrence::kReel, bool has_steps = false,
                            Cell cell = Cell::kTanh) {
    const SequenceShape shape{.batch = batch, .steps = 5, .hidden = hidden};
    return cuda_device("", precision, recurrence).make()->describe_recurrence(cell, shape, 10, has_steps);
  };
  const auto gated = [&](std::int64_t hidden, std::int64_t batch, Precision precision = Precision::kFloat32) {
    return describe(hidden, batch, precision, Recurrence::kReel, true, Cell::kLstm);
  };
  const std::string resident = "float32, one launch for all steps, W_hh resident";
  const std::string cluster = resident + " in clusters of blocks, 2 at once";
  const std::string stepwise = "float32, a product and a pointwise kernel each step";
  EXPECT_EQ(describe(256, 1000), resident);
  EXPECT_EQ(describe(257, 64), cluster);
  EXPECT_EQ(describe(512, 1), cluster);
  EXPECT_EQ(describe(512, 65), stepwise);
  EXPECT_EQ(describe(513, 1), stepwise);
  EXPECT_EQ(describe(257, 1, Precision::kMixed), cluster);
  EXPECT_EQ(describe(256, 64, Precision::kFloat32, Recurrence::kReel, true), resident);
  EXPECT_EQ(describe(256, 64, Precision::kMixed, Recurrence::kReel, true),
            "tensor cores, one launch for all steps, W_hh resident; back " + resident);
  EXPECT_EQ(describe(257, 64, Precision::kFloat32, Recurrence::kReel, true), cluster + "; back " + stepwise);
  EXPECT_EQ(describe(513, 64, Precision::kFloat32, Recurrence::kReel, true), stepwise);
  EXPECT_EQ(gated(128, 10), resident + " by unit in clusters of blocks, 2 at once");
  EXPECT_EQ(gated(256, 1), resident + " by unit in clusters of blocks, 2 at once");
  EXPECT_EQ(gated(64, 20), resident + " by unit");
  EXPECT_EQ(gated(128, 11), stepwise);
  EXPECT_EQ(gated(257, 1), stepwise);
  EXPECT_EQ(gated(128, 3, Precision::kMixed), "tensor cores, one launch for all steps, W_hh resident by unit");
  const std::string longer = ", tensor cores would take longer";
  EXPECT_EQ(gated(128, 2, Precision::kMixed), gated(128, 2) + longer);
  EXPECT_EQ(gated(127, 2, Precision::kMixed), gated(128, 2, Precision::kMixed));
  EXPECT_EQ(describe(67, 1, Precision::kMixed), resident + longer);
  EXPECT_EQ(gated(64, 9, Precision::kMixed), "tensor cores, one launch for all steps, W_hh resident by unit");
  EXPECT_EQ(gated(129, 1, Precision::kMixed), resident + " by unit in clusters of blocks, 2 at once");
  // PyTorch goes back with small H up to 256, and 128, only; both passes share an algorithm here.
  const auto cudnn = [&](std::int64_t hidden, Cell cell) {
    return describe(hidden, 1, Precision::kFloat32, Recurrence::kCudnn, false, cell);
  };
  EXPECT_EQ(cudnn(256, Cell::kTanh), "cuDNN, persist static, small H");
  EXPECT_EQ(cudnn(257, Cell::kTanh), "cuDNN, standard");
  EXPECT_EQ(cudnn(128, Cell::kGru), "cuDNN, persist static, small H, with the projection");
  EXPECT_EQ(cudnn(129, Cell::kLstm), "cuDNN, standard, with the projection");
}

constexpr auto kTanh = Cell::kTanh;
constexpr auto kRelu = Cell::kRelu;
constexpr auto kGru = Cell::kGru;
constexpr auto kLstm = Cell::kLstm;

const Case kCases[] = {
    Case{{1, 1, 1, 1, 1}}, Case{{7, 3, 5, 1, 9}}, Case{{50, 8, 16, 4, 1}}, Case{{50, 16, 16, 6, 12}, Pool::kMean},
    Case{{90, 20, 33, 7, 13}, Pool::kLast, kRelu}, Case{{90, 20, 33, 7, 13}, Pool::kMean, kRelu, 0.5f},
    Case{{300, 128, 128, 64, 20}}, Case{{300, 100, 130, 13, 31}, Pool::kMean, kTanh, 0.25f},
    Case{{40, 5, 67, 19, 40}, Pool::kLast, kTanh, 0.5f}, Case{{30, 4, 200, 21, 9}, Pool::kMean},
    Case{{20, 4, 72, 3, 70}}, Case{{200, 24, 40, 131, 20}},  // pairs enough to be summed in parts
    Case{{50, 16, 16, 6, 12}, Pool::kMax}, Case{{90, 20, 33, 7, 13}, Pool::kConcat, kTanh, 0.5f},
    Case{{90, 20, 33, 7, 13}, Pool::kMax, kRelu},  // many units whose largest state, 0, is that of several steps
    Case{{20, 4, 100, 7, 6}, Pool::kConcat}, Case{{20, 4, 200, 5, 4}, Pool::kMax, kRelu},
    // In clusters of blocks:
    Case{{3, 4, 300, 5, 5}}, Case{{4, 3, 257, 1, 1}, Pool::kLast, kRelu},
    Case{{5, 3, 259, 35, 2}, Pool::kMean},  // on the emulator one cluster takes two tiles
    Case{{30, 4, 512, 6, 7}, Pool::kMean, kRelu}, Case{{9, 3, 384, 41, 7}, Pool::kMean},
    Case{{9, 3, 500, 38, 6}, Pool::kLast, kRelu},  // rows by length in two tiles
    // Step by step: too wide, or too many rows for the emulator's clusters.
    Case{{3, 4, 515, 3, 4}, Pool::kMean, kRelu, 0.5f}, Case{{5, 3, 270, 65, 2}},
    // Cells of several gates:
    Case{{1, 1, 1, 1, 1}, Pool::kLast, kGru}, Case{{2, 1, 1, 1, 1}, Pool::kLast, kLstm},
    Case{{90, 20, 33, 7, 13}, Pool::kLast, kGru}, Case{{90, 20, 33, 7, 13}, Pool::kMean, kLstm, 0.5f},
    Case{{300, 128, 128, 64, 20}, Pool::kLast, kLstm}, Case{{200, 24, 40, 131, 20}, Pool::kMean, kGru},
    Case{{50, 16, 67, 19, 40}, Pool::kLast, kLstm, 0.25f}, Case{{3, 4, 515, 3, 4}, Pool::kLast, kGru},
    Case{{50, 16, 67, 19, 40}, Pool::kConcat, kLstm, 0.25f}, Case{{90, 20, 33, 7, 13}, Pool::kMax, kGru},
    Case{{20, 4, 128, 7, 6}, Pool::kMean, kGru}, Case{{20, 4, 100, 10, 3}, Pool::kLast, kGru},
    Case{{30, 6, 90, 5, 20}, Pool::kConcat, kLstm}, Case{{20, 4, 256, 5, 4}, Pool::kConcat, kLstm},
    Case{{9, 3, 190, 7, 5}, Pool::kMax, kGru}, Case{{40, 5, 50, 21, 9}, Pool::kConcat, kLstm},
    Case{{40, 5, 64, 21, 9}, Pool::kMean, kLstm}, Case{{40, 5, 72, 19, 9}, Pool::kLast, kGru},
    Case{{9, 3, 256, 9, 7}, Pool::kMean, kGru}, Case{{9, 3, 131, 10, 6}, Pool::kLast, kLstm},  // two rows at once
    Case{{9, 3, 66, 9, 8}, Pool::kMean, kLstm},
    // Several logits, and other losses of one:
    Case{{20, 4, 16, 7, 5}, Pool::kLast, kTanh, 0, {.count = 1, .loss = Loss::kSoftmax}},
    Case{{20, 4, 16, 7, 5}, Pool::kLast, kTanh, 0, {.count = 2, .loss = Loss::kSoftmax}},
    Case{{20, 4, 17, 9, 5}, Pool::kConcat, kTanh, 0.5f, {.count = 3, .loss = Loss::kSoftmax, .weights = true}},
    Case{{20, 4, 33, 9, 5}, Pool::kMean, kGru, 0, {.count = 9, .loss = Loss::kSoftmax, .targets = true}},
    Case{{20, 4, 17, 70, 5}, Pool::kMean, kTanh, 0.25f, {.count = 130, .loss = Loss::kSoftmax}},
    Case{{20, 4, 19, 6, 5},
         Pool::kMax,
         kTanh,
         0,
         {.count = 130, .loss = Loss::kSoftmax, .targets = true, .weights = true}},
    Case{{20, 4, 18, 7, 5}, Pool::kLast, kTanh, 0, {.count = 5, .loss = Loss::kSoftmax, .margin = 1e4}},
    Case{{20, 4, 16, 7, 5}, Pool::kLast, kTanh, 0, {.weights = true, .positive_weights = true}},
    Case{{20, 4, 16, 7, 5}, Pool::kMean, kTanh, 0.5f, {.targets = true, .weights = true, .positive_weights = true}},
    Case{{20, 4, 16, 7, 5}, Pool::kLast, kTanh, 0, {.margin = 1e4}},
    Case{{20, 4, 17, 7, 5}, Pool::kMean, kTanh, 0, {.count = 5, .targets = true}},
    Case{{20, 4, 16, 7, 5}, Pool::kMax, kTanh, 0.5f, {.count = 5, .targets = true, .positive_weights = true}},
    Case{{20, 4, 16, 7, 5}, Pool::kLast, kTanh, 0, {.count = 5, .targets = true, .margin = 1e4}},
    Case{{20, 4, 33, 9, 5},
         Pool::kConcat,
         kLstm,
         0,
         {.count = 40, .targets = true, .weights = true, .positive_weights = true}},
    Case{{20, 4, 16, 7, 5}, Pool::kLast, kTanh, 0.5f, {.loss = Loss::kSquared, .targets = true, .weights = true}},
    Case{{20, 4, 17, 7, 5}, Pool::kMean, kTanh, 0, {.count = 300, .loss = Loss::kSquared, .targets = true}}};

const char* pool_name(Pool pool) {
  constexpr const char* kNames[] = {"Last", "Mean", "Max", "Concat"};
  return kNames[static_cast<int>(pool)];
}

/// Nothing of one logit with a label and kSigmoid.
std::string name_of(const Outputs& o) {
  constexpr const char* kLosses[] = {"Sigmoid", "Softmax", "Squared"};
  const std::string count = o.count > 1 || o.loss != Loss::kSigmoid || o.targets
                                ? fmt::format("C{}{}", o.count, kLosses[static_cast<int>(o.loss)])
                                : "";
  return fmt::format("{}{}{}{}{}", count, o.targets ? "Targets" : "", o.weights ? "Weights" : "",
                     o.positive_weights ? "Positive" : "", o.margin > 0 ? "Far" : "");
}

std::string name_of(const Case& c) {
  const Shape& s = c.shape;
  return fmt::format("V{}E{}H{}B{}T{}{}{}{}{}", s.vocabulary, s.embedding, s.hidden, s.batch, s.steps,
                     pool_name(c.pool), traits(c.cell).name, c.dropout > 0 ? "Dropout" : "", name_of(c.outputs));
}

/// Whatever the order of threads, warps and blocks. `--deep`: every kernel in ten orders; else a sample by
/// REEL_TEST_SEED.
TEST(Schedules, GiveTheSameBitsOnTheEmulator) {
  if (!kEmulated) GTEST_SKIP() << "only the emulator's order can be chosen";
  constexpr std::uint64_t kOrders = 10, kSample = 6;
  std::vector<std::tuple<TestDevice, const Case*, std::uint64_t>> runs;
  for (const TestDevice& device : {cuda_device(), cuda_device("Mixed", Precision::kMixed)}) {
    for (const Case& c : kCases) {
      for (std::uint64_t order = 1; order <= kOrders; ++order) runs.emplace_back(device, &c, order);
    }
  }
  for (std::uint64_t i = 0; i < (deep() ? runs.size() : kSample); ++i) {
    const auto& [device, c, order] = runs[deep() ? i : random_bits({.seed = test_seed()}, i) % runs.size()];
    SCOPED_TRACE(fmt::format("{} {} order {}", device.name, name_of(*c), order));
    const Problem problem = c->problem();
    set_schedule(0);
    const Results expected = run_problem(*device.make(), problem);
    set_schedule(order);
    expect_same_bits(run_problem(*device.make(), problem), expected);
    set_schedule(0);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Operations, testing::ValuesIn(kCases),
                         [](const auto& tested) { return name_of(tested.param); });
INSTANTIATE_TEST_SUITE_P(Shapes, DeviceOperations,
                         testing::Combine(testing::ValuesIn(all_devices()), testing::ValuesIn(kCases)),
                         [](const auto& tested) {
                           return std::get<0>(tested.param).name + "_" + name_of(std::get<1>(tested.param));
                         });

}  // namespace
}  // namespace reel::test
