// The CUDA backend on the stand-in: devices of every kind, memory that runs out, work that is left behind.
#include "host/model/batch.h"
#include "kernels/cuda/cub.h"
#include "kernels/cuda/platform.h"
#include "kernels/make_backend.h"
#include "kernels/range.h"
#include "tests/cuda_runtime/backend_fixture.h"
#include "tests/kernels/devices.h"
#include "tests/kernels/problem.h"
#include "tests/kernels/run_problem.h"
#include "tests/support/support.h"

namespace reel::runtime {
namespace {

using testing::HasSubstr;

TEST_F(RuntimeBackend, FindsTheDeviceOrSaysWhyNot) {
  EXPECT_EQ(describe_cuda(), "emulator, compute capability 9.0, 16 GiB");
  for (const auto& [major, minor] : {std::pair{8, 0}, {8, 6}, {10, 0}, {12, 0}}) {
    use({.device = {.major = major, .minor = minor}});
    EXPECT_EQ(describe_cuda(), fmt::format("emulator, compute capability {}.{}, 16 GiB", major, minor));
    EXPECT_EQ(best_device(), DeviceKind::kCuda);
  }
  const auto expect_none = [](const Options& options, const char* reason) {
    use(options);
    EXPECT_THAT(describe_cuda(), HasSubstr(reason));
    EXPECT_EQ(best_device(), DeviceKind::kCpu);
    expect_error([] { make_backend({.device = DeviceKind::kCuda}); },
                 {"--device cuda: ", reason, "--device cpu works"});
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "no error is left behind";
  };
  expect_none({.device = {.major = 7, .minor = 5}},
              "compute capability 7.5, 16 GiB, expected compute capability 8.0 or newer");
  expect_none({.device = {.driver = Driver::kTooOld}}, "the driver supports CUDA 11.4, expected 13.0 or newer");
  expect_none({.device = {.driver = Driver::kMissing}}, "no NVIDIA driver");
  expect_none({.device = {.count = 0}}, "no CUDA-capable device is detected");
}

struct Kind {
  int major, minor;
  const char *at_256, *at_300;  // how the recurrence runs
};

/// Each takes the kernels that fit it, and all of them compute the same.
TEST_F(RuntimeBackend, ComputesOnEveryKindOfDevice) {
  const char *const resident = "W_hh resident", *const cluster = "clusters", *const stepwise = "each step";
  const Kind kinds[] = {{9, 0, resident, cluster},
                        {8, 0, resident, stepwise},
                        {8, 6, resident, stepwise},
                        {10, 0, resident, cluster},
                        {12, 0, resident, cluster}};
  for (const std::int64_t hidden : {20, 256, 300}) {
    const test::Shape shape{.vocabulary = 30, .embedding = 4, .hidden = hidden, .batch = 5, .steps = 6};
    const test::Problem problem = test::make_problem(shape, Pool::kMean, Cell::kTanh);
    const test::Results expected = test::run_problem(*make_cpu_backend<float>(1), problem);
    for (const Kind& kind : kinds) {
      for (const Precision precision : {Precision::kFloat32, Precision::kMixed}) {
        SCOPED_TRACE(fmt::format("{}.{} H {}", kind.major, kind.minor, hidden));
        use({.device = {.major = kind.major, .minor = kind.minor}});
        const test::TestDevice device = test::cuda_device("", precision);
        const auto backend = device.make();
        if (precision == Precision::kFloat32 && hidden > 20) {
          EXPECT_THAT(backend->describe_recurrence(Cell::kTanh, shape.sequences(), shape.vocabulary, false),
                      HasSubstr(hidden == 256 ? kind.at_256 : kind.at_300));
        }
        const test::Results actual = test::run_problem(*backend, problem);
        for (std::size_t i = 0; i < expected.logits.size(); ++i) {
          EXPECT_NEAR(actual.logits[i], expected.logits[i], device.tolerances.forward);
        }
        EXPECT_EQ(cudaGetLastError(), cudaSuccess);
      }
    }
  }
}

/// Fewer clusters than batch rows need make each take more rows; none, and the recurrence goes step by step.
TEST_F(RuntimeBackend, TakesAsManyClustersAsFit) {
  const test::Shape shape{.vocabulary = 30, .embedding = 4, .hidden = 300, .batch = 20, .steps = 3};
  const test::Problem problem = test::make_problem(shape, Pool::kLast, Cell::kRelu);
  const auto run = [&](int clusters, const char* how) {
    use({.device = {.multiprocessors = 132, .clusters = clusters}});
    const auto backend = test::cuda_device().make();
    EXPECT_THAT(backend->describe_recurrence(Cell::kRelu, shape.sequences(), shape.vocabulary, false), HasSubstr(how));
    return test::run_problem(*backend, problem);
  };
  const test::Results many = run(15, "clusters"), one = run(1, "clusters"), none = run(0, "each step");
  EXPECT_EQ(many.h, one.h);
  EXPECT_EQ(many.dz, one.dz);
  for (std::size_t i = 0; i < many.logits.size(); ++i) EXPECT_NEAR(many.logits[i], none.logits[i], 1e-5);
}

TEST_F(RuntimeBackend, SaysHowMuchMemoryThereWouldHaveToBe) {
  use({.device = {.memory = std::size_t{100} << 20}});
  const auto backend = test::cuda_device().make();
  expect_error([&] { backend->allocate<float>(30 << 20); },
               {"CUDA: out of memory: 120 MiB asked for, 67 of 100 MiB free; try a smaller --batch-size"});
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "what follows does not fail for it";
}

TEST_F(RuntimeBackend, UploadsFromWhatIsGoneAfterwards) {
  const auto backend = test::cuda_device().make();
  Buffer<float> buffer = backend->allocate<float>(kCount);
  {
    std::vector<float> host = all(3);
    backend->upload(std::span<const float>(host), buffer.span());
    host = all(4);
  }
  std::vector<float> values(kCount);
  backend->download(std::as_const(buffer).span(), std::span(values));
  EXPECT_EQ(values, all(3));
}

TEST_F(RuntimeBackend, BuffersAndReadbacksMayGoBeforeTheirWorkHasRun) {
  const auto backend = test::cuda_device().make();
  { backend->allocate<float>(kCount); }  // its zeros are on their way
  Buffer<float> buffer = backend->allocate<float>(kCount);
  const auto readback = backend->make_readback(kBytes);
  readback->start(std::as_bytes(std::as_const(buffer).span()));
  EXPECT_FALSE(readback->ready());
}

TEST_F(RuntimeBackend, AskingWhetherAReadbackIsReadyLeavesNoError) {
  const auto backend = test::cuda_device().make();
  Buffer<float> buffer = backend->allocate<float>(kCount);
  const auto readback = backend->make_readback(kBytes);
  readback->start(std::as_bytes(std::as_const(buffer).span()));
  while (!readback->ready()) EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
  EXPECT_EQ(readback->wait()[0], std::byte{0});
}

TEST_F(RuntimeBackend, AGraphThatIsNotCollectedToItsEndIsAbandoned) {
  const auto backend = test::cuda_device().make();
  const test::Shape shape{.vocabulary = 9, .embedding = 4, .hidden = 5, .batch = 2, .steps = 3};
  const test::Problem problem = test::make_problem(shape, Pool::kLast, Cell::kTanh);
  const test::Results expected = test::run_problem(*backend, problem);
  for (int run = 0; run < 3; ++run) {  // eagerly, built, updated
    try {
      GraphCapture graph(*backend, "steps");
      throw std::runtime_error("an operation failed");
    } catch (const std::runtime_error&) {
    }
  }
  EXPECT_EQ(test::run_problem(*backend, problem).h, expected.h);
}

/// Takes a row of three tokens.
class SmallOperation {
 public:
  explicit SmallOperation(Backend<float>& backend)
      : backend_(backend), data_(to_device(backend, {.steps = 3, .ids = {4, 5, 6}, .lengths = {3}, .labels = {1}})) {
    for (Buffer<std::int32_t>* const buffer : {&row_, &ids_, &length_, &label_}) {
      *buffer = backend.allocate<std::int32_t>(buffer == &ids_ ? 3 : 1);
    }
  }
  void run() {
    backend_.run(SelectRows{.shape = {1, 3},
                            .data_ids = data_.ids.span(),
                            .data_lengths = data_.lengths.span(),
                            .data_labels = data_.labels.span(),
                            .rows = row_.span(),
                            .ids = ids_.span(),
                            .lengths = length_.span(),
                            .labels = label_.span()});
  }
  std::vector<std::int32_t> ids() {
    std::vector<std::int32_t> values(3);
    backend_.download(std::as_const(ids_).span(), std::span(values));
    return values;
  }

 private:
  Backend<float>& backend_;
  DeviceDataset data_;
  Buffer<std::int32_t> row_, ids_, length_, label_;
};

/// A graph of another topology under the same name, while the one before may be running.
TEST_F(RuntimeBackend, AGraphMayChange) {
  const auto backend = test::cuda_device().make();
  SmallOperation small(*backend);
  for (int run = 0; run < 4; ++run) {
    GraphCapture graph(*backend, "same name");
    for (int i = 0; i < run; ++i) small.run();
    graph.launch();
  }
  EXPECT_EQ(small.ids(), (std::vector<std::int32_t>{4, 5, 6}));
}

/// Two of the same meaning are two graphs, and none is left when its name is gone.
TEST_F(RuntimeBackend, AGraphIsItsNames) {
  const auto backend = test::cuda_device().make();
  SmallOperation first(*backend), second(*backend);
  const auto run = [&](SmallOperation& operation, const GraphName& name) {
    GraphCapture graph(*backend, name);
    operation.run();
    graph.launch();
  };
  std::string gone;
  {
    const GraphName name(*backend, "step"), other(*backend, "step");
    gone = name;
    for (int round = 0; round < 2; ++round) run(first, name);
    EXPECT_TRUE(backend->launch_graph(name));
    EXPECT_FALSE(backend->launch_graph(other));
    run(second, other);  // eagerly
    EXPECT_FALSE(backend->launch_graph(other));
    const Violations violations;
    EXPECT_TRUE(backend->launch_graph(name));
  }
  EXPECT_FALSE(backend->launch_graph(gone));
  EXPECT_EQ(second.ids(), (std::vector<std::int32_t>{4, 5, 6}));
}

/// CUB's memory grows; a graph that has been built keeps what it was given.
TEST_F(RuntimeBackend, AGraphKeepsScratchMemoryThatWasOutgrown) {
  cuda::Platform platform;
  constexpr std::int64_t kFew = 8, kMany = 5000;
  const cuda::DeviceMemory values(kMany * sizeof(std::int32_t)), sums(kMany * sizeof(std::int32_t));
  platform.clear(values.data(), values.size());
  const auto sum = [&](std::int64_t count) {
    platform.inclusive_sum(
        {static_cast<const std::int32_t*>(values.data()), static_cast<std::int32_t*>(sums.data()), count});
  };
  sum(kFew);
  platform.begin_capture();
  sum(kFew);
  platform.end_capture("few");
  sum(kMany);
  EXPECT_GT(platform.replay("few", 2), 0);
}

TEST_F(RuntimeBackend, MayGoWhileItsGraphRuns) {
  auto backend = test::cuda_device().make();
  SmallOperation small(*backend);
  for (int run = 0; run < 2; ++run) {
    GraphCapture graph(*backend, "small");
    small.run();
    graph.launch();
  }
  const Violations violations;
  backend.reset();
  EXPECT_THAT(violations.found(), testing::IsEmpty());
}

TEST_F(RuntimeBackend, ReplaysAGraphAndSaysHowLongItTook) {
  const auto backend = test::cuda_device().make();
  SmallOperation small(*backend);
  expect_error([&] { backend->replay_graph("small", 3); }, {"no graph 'small'"});
  for (int run = 0; run < 2; ++run) {
    GraphCapture graph(*backend, "small");
    small.run();
    graph.launch();
  }
  EXPECT_GT(backend->replay_graph("small", 3), 0);
}

}  // namespace
}  // namespace reel::runtime
