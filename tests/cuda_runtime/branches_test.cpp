// Branches on the stand-in: what comes before and after them, on streams and in graphs.
#include <optional>

#include "kernels/check.h"
#include "kernels/make_backend.h"
#include "kernels/range.h"
#include "tests/cuda_runtime/backend_fixture.h"
#include "tests/support/support.h"

namespace reel::runtime {
namespace {

using RuntimeBranches = RuntimeBackend;

/// Copies from a source to a middle, from there in each branch to its own and on, and after the branches to the
/// results.
class Copies {
 public:
  Copies(Backend<float>& backend, std::size_t branches) : backend_(backend) {
    source_ = make();
    middle_ = make();
    for (auto* const buffers : {&first_, &second_, &results_}) {
      for (std::size_t i = 0; i < branches; ++i) buffers->push_back(make());
    }
  }

  void set(float value) { backend_.upload(std::span<const float>(std::vector<float>(kCount, value)), source_.span()); }
  /// With `failing`, the call of that branch throws in between.
  void enqueue(std::optional<std::size_t> failing = {}) {
    copy(backend_, source_, middle_);
    backend_.run_branches(results_.size(), [&](Backend<float>& branch, std::size_t i) {
      copy(branch, middle_, first_[i]);
      if (failing == i) throw std::runtime_error("a branch failed");
      copy(branch, first_[i], second_[i]);
    });
    for (std::size_t i = 0; i < results_.size(); ++i) copy(backend_, second_[i], results_[i]);
  }
  void expect(float value) {
    for (const Buffer<float>& result : results_) EXPECT_THAT(read(result), testing::Each(value));
  }
  /// What branch i enqueues first has reached memory.
  void expect_begun(std::size_t i, float value) { EXPECT_THAT(read(first_[i]), testing::Each(value)); }

 private:
  static constexpr std::size_t kCount = 8;
  Buffer<float> make() { return backend_.allocate<float>(kCount); }
  std::vector<float> read(const Buffer<float>& buffer) {
    std::vector<float> values(kCount);
    backend_.download(buffer.span(), std::span(values));
    return values;
  }
  static void copy(Backend<float>& backend, const Buffer<float>& from, Buffer<float>& to) {
    backend.copy(from.span(), to.span());
  }

  Backend<float>& backend_;
  Buffer<float> source_, middle_;
  std::vector<Buffer<float>> first_, second_, results_;  // of each branch
};

TEST_F(RuntimeBranches, ComeAfterWhatIsBeforeThemAndBeforeWhatFollows) {
  for (std::uint64_t seed = 0; seed < (deep() ? 50 : 3); ++seed) {
    for (const bool graphs : {false, true}) {
      for (const std::size_t count : {2U, 3U}) {
        SCOPED_TRACE(fmt::format("seed {} graphs {} branches {}", seed, graphs, count));
        use({.seed = seed});
        const auto backend = make_backend({.device = DeviceKind::kCuda, .graphs = graphs});
        Copies copies(*backend, count);
        for (int round = 1; round < 5; ++round) {  // with graphs: eagerly, built, updated, updated
          copies.set(static_cast<float>(round));
          GraphCapture graph(*backend, "copies");
          copies.enqueue();
          copies.enqueue();
          graph.launch();
          copies.expect(static_cast<float>(round));
        }
      }
    }
  }
}

TEST_F(RuntimeBranches, AreBranchesOfTheGraph) {
  const auto backend = make_backend({.device = DeviceKind::kCuda});
  Copies copies(*backend, 2);
  for (int round = 0; round < 2; ++round) {
    GraphCapture graph(*backend, "copies");
    copies.enqueue();
    graph.launch();
  }
  EXPECT_EQ(concurrent_nodes().size(), 4U) << "two copies of one branch with two of the other";
}

TEST_F(RuntimeBranches, RunInOrderWithTimings) {
  const auto backend = make_backend({.device = DeviceKind::kCuda, .graphs = false, .timings = true});
  std::vector<std::size_t> order;
  backend->run_branches(2, [&](Backend<float>& branch, std::size_t i) {
    EXPECT_EQ(&branch, backend.get());
    order.push_back(i);
  });
  EXPECT_THAT(order, testing::ElementsAre(0, 1));
}

TEST_F(RuntimeBranches, ThatThrowLeaveNothingBehind) {
  for (const bool graphs : {false, true}) {
    for (const std::size_t failing : {0U, 1U}) {
      use({});
      const auto backend = make_backend({.device = DeviceKind::kCuda, .graphs = graphs});
      Copies copies(*backend, 2);
      for (int round = 0; round < 3; ++round) {
        copies.set(static_cast<float>(round));
        EXPECT_THROW(
            {
              GraphCapture graph(*backend, "copies");
              copies.enqueue(failing);
              graph.launch();
            },
            std::runtime_error);
        EXPECT_EQ(cudaGetLastError(), cudaSuccess);
        if (!graphs) copies.expect_begun(failing, static_cast<float>(round));
      }
      copies.set(7);
      GraphCapture graph(*backend, "copies");
      copies.enqueue();
      graph.launch();
      copies.expect(7);
    }
  }
}

TEST_F(RuntimeBranches, MayGoWhileTheyRun) {
  for (const bool graphs : {false, true}) {
    use({});
    auto backend = make_backend({.device = DeviceKind::kCuda, .graphs = graphs});
    Copies copies(*backend, 2);
    for (int round = 0; round < 2; ++round) {
      GraphCapture graph(*backend, "copies");
      copies.enqueue();
      graph.launch();
    }
    const Violations violations;
    backend.reset();
    EXPECT_THAT(violations.found(), testing::IsEmpty());
  }
}

}  // namespace
}  // namespace reel::runtime
