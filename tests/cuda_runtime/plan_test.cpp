// The plan of a training step, beside the graph of the same one.
#include <fmt/format.h>

#include <algorithm>

#include "bench/training.h"
#include "host/train/step_plan.h"
#include "kernels/cuda/platform.h"
#include "kernels/make_backend.h"
#include "kernels/range.h"
#include "tests/cuda_runtime/backend_fixture.h"
#include "tests/support/support.h"

namespace reel::runtime {
namespace {

using RuntimePlan = RuntimeBackend;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr bench::Shape kShape{.vocabulary = 50, .embedding = 4, .hidden = 6, .batch = 5, .steps = 12};

/// A step as it is enqueued, and then one as a graph.
void capture_step(Backend<float>& backend, bench::Training& training) {
  for (int round = 0; round < 2; ++round) {
    GraphCapture graph(backend, "step");
    training.step();
    graph.launch();
  }
}

TEST_F(RuntimePlan, HasTheNodesOfTheGraph) {
  bench::Shape few_words = kShape, stack = kShape;
  few_words.vocabulary = 200;  // more than there are positions
  stack.layers = 2;
  stack.bidirectional = true;
  for (const bench::Shape& shape : {kShape, few_words, stack}) {
    const auto backend = make_backend({.device = DeviceKind::kCuda});
    bench::Training training(*backend, shape);
    capture_step(*backend, training);
    backend->synchronize();
    expect_launched(backend->plan([&] { training.step(); }));
  }
}

/// Of a batch of as many words as the vocabulary has.
TEST_F(RuntimePlan, RunsBesideTheRecurrenceWhatItDoesNotNeed) {
  const auto backend = make_backend({.device = DeviceKind::kCuda});
  bench::Training training(*backend, kShape);
  capture_step(*backend, training);
  const auto beside = [](const char* first, const char* second) {
    return Contains(testing::Pair(HasSubstr(first), HasSubstr(second)));
  };
  const auto pairs = concurrent_nodes();
  EXPECT_THAT(pairs, beside("select_rows", "cublasSgemm")) << "the projection of all words";
  EXPECT_THAT(pairs, beside("CUB sort", "rnn_forward"));
  EXPECT_THAT(pairs, beside("head_weights", "rnn_backward"));
  EXPECT_THAT(pairs, beside("head_stats", "rnn_backward"));
  EXPECT_THAT(pairs, beside("cublasSgemm", "sum_chunks")) << "W_hh's gradient";
  EXPECT_THAT(pairs, beside("sum_columns", "cublasSgemm")) << "the biases' gradient";
  EXPECT_THAT(pairs, beside("cublasSgemm", "cublasSgemm")) << "the gradients of W_ih and of the words";
  for (const char* last : {"clip_kernel", "optimizer_step"}) {
    for (const auto& [first, second] : pairs) EXPECT_THAT(second, testing::Not(HasSubstr(last))) << first;
  }
}

/// Of a batch of fewer words.
TEST_F(RuntimePlan, SortsBesideTheRecurrenceWhereTheBatchsWordsAreProjected) {
  bench::Shape shape = kShape;
  shape.vocabulary = 200;
  const auto backend = make_backend({.device = DeviceKind::kCuda});
  bench::Training training(*backend, shape);
  capture_step(*backend, training);
  const auto beside = [](const char* first, const char* second) {
    return Contains(testing::Pair(HasSubstr(first), HasSubstr(second)));
  };
  EXPECT_THAT(concurrent_nodes(), beside("select_rows", "memset"));
  for (const char* other : {"CUB sum", "list_distinct", "gather_rows", "cublasSgemm", "rnn_forward"}) {
    EXPECT_THAT(concurrent_nodes(), beside("CUB sort", other));
  }
}

/// Nobody asks how much longer a gradient is than it may be.
TEST_F(RuntimePlan, RunsTheNormBesideTheOptimizerWhereNothingIsClipped) {
  for (const Clipping& clipping : {Clipping{}, {.norm = 1}, {.value = 1}}) {
    TrainConfig config = preset_config(Preset::kRecipe, Cell::kTanh);
    config.clipping = clipping;
    const auto backend = make_backend({.device = DeviceKind::kCuda});
    const Plan plan = plan_step(*backend, config);
    const std::size_t norm = plan.nodes.size() - 2;
    EXPECT_EQ(plan.nodes.at(norm).name, "clip_kernel");
    EXPECT_EQ(std::ranges::count(plan.nodes.back().after, norm), clipping.norm > 0 || clipping.value > 0);
  }
}

/// Of a cell whose states are bounded; everything else is multiplied in float32.
TEST_F(RuntimePlan, HasTensorCoresForTheGradientOfWhhInMixedPrecision) {
  for (const Precision precision : {Precision::kFloat32, Precision::kMixed}) {
    for (const Cell cell : {Cell::kTanh, Cell::kRelu, Cell::kLstm}) {
      const auto backend = make_backend({.device = DeviceKind::kCuda, .precision = precision});
      bench::Shape shape = kShape;
      shape.cell = cell;
      bench::Training training(*backend, shape);
      std::vector<std::string> operations;
      for (const PlanNode& node : backend->plan([&] { training.step(); }).nodes) {
        if (node.name.starts_with("sgemm (TF32)")) operations.push_back(node.operation);
      }
      const bool rounds = precision == Precision::kMixed && cell != Cell::kRelu;
      EXPECT_EQ(operations, std::vector<std::string>(rounds ? 1 : 0, "rnn_backward")) << traits(cell).name;
    }
  }
}

/// 1 + 2^-11 is half way between two numbers of TF32, and goes to the even one; in float32 it stays.
TEST_F(RuntimePlan, TensorCoresRoundWhatTheyMultiply) {
  cuda::Platform platform;
  const std::vector<float> factors{1 + 0x1p-11f, 3};
  auto* const memory = static_cast<float*>(platform.allocate(3 * sizeof(float)));
  platform.copy(memory, factors.data(), sizeof(float) * 2);
  for (const bool tensor_cores : {false, true}) {
    platform.product(
        {.m = 1, .n = 1, .k = 1, .a = memory, .b = memory + 1, .c = memory + 2, .tensor_cores = tensor_cores});
    float result = 0;
    platform.copy(&result, memory + 2, sizeof result);
    platform.synchronize();
    EXPECT_EQ(result, tensor_cores ? 3.0f : 3 + 3 * 0x1p-11f);
  }
  cuda::Platform::release(memory);
}

TEST_F(RuntimePlan, RunsNothing) {
  const auto backend = make_backend({.device = DeviceKind::kCuda});
  const Buffer<float> from = backend->allocate<float>(2);
  Buffer<float> to = backend->allocate<float>(2);
  backend->upload(std::span<const float>(std::vector<float>{3, 4}), to.span());
  const Plan plan = backend->plan([&] {
    const ProfileRange range(*backend, "copying");
    backend->copy(from.span(), to.span());
  });
  std::vector<float> values(2);
  backend->download(std::as_const(to).span(), std::span(values));
  EXPECT_THAT(values, ElementsAre(3, 4));
  ASSERT_EQ(plan.nodes.size(), 1u);
  EXPECT_EQ(plan.nodes[0].name, "memcpy");
  EXPECT_EQ(plan.nodes[0].operation, "copying");
  EXPECT_EQ(plan.nodes[0].bytes, 16);
}

/// What takes memory while it is planned finds zeros in it when it runs.
TEST_F(RuntimePlan, ClearsMemoryAllTheSame) {
  const auto backend = make_backend({.device = DeviceKind::kCuda});
  Buffer<float> made;
  const Plan plan = backend->plan([&] { made = backend->allocate<float>(2); });
  std::vector<float> values(2, 1);
  backend->download(std::as_const(made).span(), std::span(values));
  EXPECT_THAT(values, ElementsAre(0, 0));
  EXPECT_TRUE(plan.nodes.empty());
}

TEST_F(RuntimePlan, NamesWhatKernelsAreInstancesOf) {
  const auto backend = make_backend({.device = DeviceKind::kCuda});
  TrainConfig config = preset_config(Preset::kRecipe);
  config.model = {.vocabulary = 100, .embedding = 4, .hidden = 6};
  config.batch_size = 2;
  config.preprocessing.maxlen = 5;
  const auto last_name = [&](OptimizerKind kind) {
    config.optimizer.kind = kind;
    return plan_step(*backend, config).nodes.back().name;
  };
  EXPECT_EQ(last_name(OptimizerKind::kAdam), "optimizer_step_kernel<adam>");
  EXPECT_EQ(last_name(OptimizerKind::kSgd), "optimizer_step_kernel<sgd>");
  EXPECT_EQ(last_name(OptimizerKind::kRmsprop), "optimizer_step_kernel<rmsprop>");
  EXPECT_EQ(last_name(OptimizerKind::kAdagrad), "optimizer_step_kernel<adagrad>");
  config.model.vocabulary = 1 << 18;  // rows may lag behind
  EXPECT_EQ(last_name(OptimizerKind::kAdamW), "lazy_rows_kernel<adam>");

  const auto mixed = make_backend({.device = DeviceKind::kCuda, .precision = Precision::kMixed});
  const auto names = [&](Cell cell) {
    config = preset_config(Preset::kRecipe, cell);
    config.model.vocabulary = 100;
    config.preprocessing.maxlen = 2;
    std::vector<std::string> all;
    for (const PlanNode& node : plan_step(*mixed, config).nodes) all.push_back(node.name);
    return all;
  };
  EXPECT_THAT(names(Cell::kTanh), Contains("rnn_forward_tensor_core_kernel<128, tanh, packed>"));
  EXPECT_THAT(names(Cell::kGru), Contains("rnn_backward_tensor_core_gated_kernel<128, gru, packed, false>"));
}

TEST_F(RuntimePlan, EndsWithAnError) {
  const auto backend = make_backend({.device = DeviceKind::kCuda});
  EXPECT_THROW(backend->plan([] { throw std::runtime_error("in between"); }), std::runtime_error);
  const std::vector<float> expected{1, 2};
  Buffer<float> buffer = backend->allocate<float>(2);
  backend->upload(std::span<const float>(expected), buffer.span());
  std::vector<float> values(2);
  backend->download(std::as_const(buffer).span(), std::span(values));
  EXPECT_EQ(values, expected);
}

/// One that step_cycles.h does not know would take what its multiply-adds or its bytes do, and no barrier.
TEST_F(RuntimePlan, KnowsHowLongEveryRecurrenceTakes) {
  use({.device = {.multiprocessors = 132, .clusters = 16}});
  constexpr std::int64_t kSteps = 20;
  for (const Precision precision : {Precision::kFloat32, Precision::kMixed}) {
    const auto backend = make_backend({.device = DeviceKind::kCuda, .precision = precision});
    for (const CellTraits& cell : kCells) {
      for (const std::int64_t hidden : {64, 100, 256, 512}) {
        TrainConfig config = preset_config(Preset::kRecipe, cell.cell);
        config.model.cell = cell.cell;
        config.model.vocabulary = 100;
        config.model.hidden = hidden;
        config.preprocessing.maxlen = kSteps;
        for (const std::int64_t layers : {1, 2}) {  // of the lower one gradients are known step by step
          config.model.layers = layers;
          const Plan plan = plan_step(*backend, config);
          for (const PlanNode& node : plan.nodes) {
            if (!node.operation.starts_with("rnn_") || !node.name.starts_with("rnn_")) continue;
            EXPECT_GT(node.microseconds, 2 + 0.05 * kSteps + std::max(node.flops / 67e6, node.bytes / 4.3e6))
                << cell.name << " " << hidden << ": " << node.name;
            EXPECT_GT(node.flops, 1e5) << node.name;
          }
        }
      }
    }
  }
}

/// Where tensor cores would take longer, it is float32, and says so.
TEST_F(RuntimePlan, MixedIsNeverExpectedToBeSlowerThanFloat32) {
  use({.device = {.multiprocessors = 132, .clusters = 16}});
  const auto float32 = make_backend({.device = DeviceKind::kCuda});
  const auto mixed = make_backend({.device = DeviceKind::kCuda, .precision = Precision::kMixed});
  // Of the launches for all steps; where there is none, of all that runs.
  const auto recurrence = [](const Plan& plan, const char* way) {
    double launches = 0, all = 0;
    for (const PlanNode& node : plan.nodes) {
      if (node.operation != way) continue;
      all += node.microseconds;
      if (node.name.starts_with("rnn_")) launches += node.microseconds;
    }
    return launches > 0 ? launches : all;
  };
  const auto expect_no_slower = [&](const TrainConfig& config) {
    const ModelConfig& model = config.model;
    SCOPED_TRACE(fmt::format("{}, H {}, B {}, {} layers, {}", traits(model.cell).name, model.hidden, config.batch_size,
                             model.layers, name_of(model.pool)));
    const Plan theirs = plan_step(*mixed, config), its = plan_step(*float32, config);
    for (const char* way : {"rnn_forward", "rnn_backward"}) {
      EXPECT_LE(recurrence(theirs, way), recurrence(its, way) * (1 + 1e-9)) << way;
    }
  };
  int declined = 0;
  for (const CellTraits& cell : kCells) {
    for (const std::int64_t hidden : {64, 67, 128, 130, 256}) {
      for (const std::int64_t batch : {1, 8, 64, 256, 1024, 4096}) {
        TrainConfig config = preset_config(Preset::kRecipe, cell.cell);
        config.model.vocabulary = 100;
        config.model.hidden = hidden;
        config.batch_size = batch;
        config.preprocessing.maxlen = 2;
        config.model.embedding = 4;
        // Of the lower of two layers, and of a maximum, gradients are known step by step.
        for (const auto& [layers, pool] : {std::pair{1, Pool::kLast}, {2, Pool::kLast}, {1, Pool::kMax}}) {
          config.model.layers = layers;
          config.model.pool = pool;
          expect_no_slower(config);
        }
        const SequenceShape shape{batch, config.preprocessing.maxlen, hidden};
        const std::string chosen = mixed->describe_recurrence(cell.cell, shape, config.model.vocabulary, false);
        if (chosen.find(", tensor cores would take longer") != std::string::npos) ++declined;
        // One row each, 66 clusters of two blocks take as long a step.
        const bool clusters_take_all = cell.gates > 1 && batch <= 66;
        if (hidden == 128 && cell.bounded && !clusters_take_all) {
          EXPECT_THAT(chosen, testing::StartsWith("tensor cores")) << batch;
        }
      }
    }
  }
  EXPECT_GT(declined, 0) << "widths whose units are moved one by one, a few rows";
}

}  // namespace
}  // namespace reel::runtime
