// The CUDA backend; its operations stand in files of their own beside it.
#include <algorithm>
#include <exception>
#include <initializer_list>
#include <memory>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/plan.h"
#include "kernels/range_timings.h"

namespace reel::cuda {
namespace {

class CudaBackend final : public Backend<float> {
 public:
  explicit CudaBackend(const BackendOptions& options)
      : options_(options), context_(options), graphs_(options.graphs), timed_(options.timings) {
    REEL_CHECK(!(graphs_ && timed_), "ranges inside a graph cannot be timed");
  }

  DeviceInfo info() const override {
    const DeviceLimits& limits = context_.platform.limits();
    return {DeviceKind::kCuda, limits.name,
            fmt::format("compute capability {}.{}", limits.capability / 10, limits.capability % 10),
            limits.multiprocessors};
  }
  std::string describe_recurrence(Cell cell, const SequenceShape& shape, std::int64_t rows,
                                  bool has_steps) const override {
    return cuda::describe_recurrence(context_, cell, shape, rows, has_steps);
  }
  bool packs_sequences(Cell cell, const SequenceShape& shape, std::int64_t rows, bool has_steps) const override {
    return cuda::packs_sequences(context_, cell, shape, rows, has_steps);
  }
  bool projects_input(Cell cell) const override { return cuda::projects_input(context_, cell); }
  std::unique_ptr<Readback> make_readback(std::size_t bytes) override {
    return std::make_unique<ReadbackOfAll>(context_, context_.platform.make_readback(bytes));
  }
  void synchronize() override { after_all().platform.synchronize(); }

  /// The first branch is this backend's own stream, each other one that of a backend which forks from it and joins it
  /// again: what an operation works in (scratch memory, cuBLAS' and CUB's workspaces, cuDNN's plans) is its context's.
  void run_branches(std::size_t count, const Branch& branch) override {
    if (count < 2 || context_.in_order) return Backend::run_branches(count, branch);
    BackendOptions options = options_;
    options.graphs = false;
    while (branches_.size() + 1 < count) branches_.push_back(std::make_unique<CudaBackend>(options));
    const std::span others = std::span(branches_).first(count > 0 ? count - 1 : 0);
    context_.join_all();
    for (const auto& other : others) other->context_.platform.wait_for(context_.platform);
    std::exception_ptr error;
    const auto attempt = [&error](const auto& f) {
      try {
        f();
      } catch (...) {
        if (!error) error = std::current_exception();
      }
    };
    attempt([&] {
      for (std::size_t i = 0; i < count; ++i) branch(i == 0 ? *this : *others[i - 1], i);
    });
    attempt([&] {  // whatever has been enqueued by then
      for (const auto& other : others) context_.platform.wait_for(other->after_all().platform);
    });
    if (error) std::rethrow_exception(error);
  }

  void begin_range(const char* name) override {
    if (timed_) {
      if (range_error_ || ended_.size() >= kMostUnread) read_timings();
      Platform::Moment now = context_.platform.mark();
      open_.push_back({timings_.begin(name), std::move(now), nullptr});
    }
    if (PlanRecorder* const plan = PlanRecorder::current()) plan->begin_range(name);
    Platform::begin_range(name);
  }
  void end_range() noexcept override {
    Platform::end_range();
    if (PlanRecorder* const plan = PlanRecorder::current()) plan->end_range();
    if (!timed_) return;
    timings_.end();
    try {
      open_.back().end = context_.platform.mark();
      ended_.push_back(std::move(open_.back()));
    } catch (...) {
      if (!range_error_) range_error_ = std::current_exception();
    }
    open_.pop_back();
  }
  std::vector<RangeTiming> timings() override {
    read_timings();
    return timings_.result();
  }
  Plan plan(const std::function<void()>& enqueue) override {
    REEL_CHECK(options_.recurrence == Recurrence::kReel && !timed_ && !capturing_, "a plan of what is not recorded");
    context_.join_all();
    PlanRecorder recorder(context_.platform.limits().multiprocessors);
    enqueue();
    return recorder.take();
  }
  void record_profile(bool on) override { Platform::record_profile(on); }
  bool has_graphs() const override { return graphs_; }
  void begin_graph(const std::string& name) override {
    graph_name_ = name;
    // Eagerly at first: kernels are loaded and scratch memory is taken then.
    if (!graphs_ || seen_.insert(name).second) return;
    after_all().platform.begin_capture();
    capturing_ = true;
  }
  void end_graph() override {
    if (std::exchange(capturing_, false)) after_all().platform.end_capture(graph_name_);
  }
  void abandon_graph() noexcept override {
    if (std::exchange(capturing_, false)) context_.platform.abandon_capture();
  }
  bool launch_graph(const std::string& name) override { return after_all().platform.launch(name); }
  void forget_graph(const std::string& name) noexcept override {
    seen_.erase(name);
    context_.platform.forget(name);
  }
  double replay_graph(const std::string& name, int runs) override { return after_all().platform.replay(name, runs); }

 protected:
  void* allocate_bytes(std::size_t bytes) override { return context_.platform.allocate(bytes); }
  Buffer<char>::Deleter deleter() const override { return &Platform::release; }
  void copy_bytes(std::span<const std::byte> from, std::span<std::byte> to) override {
    REEL_CHECK(from.size() == to.size(), "copy of {} bytes to {}", from.size(), to.size());
    if (!from.empty()) after_all().platform.copy(to.data(), from.data(), from.size());
  }

 private:
  /// Waits for a copy's source, whatever writes it.
  class ReadbackOfAll final : public Readback {
   public:
    ReadbackOfAll(CudaContext& context, std::unique_ptr<Readback> readback)
        : context_(context), readback_(std::move(readback)) {}
    void start(std::span<const std::byte> from) override {
      context_.join_all();
      readback_->start(from);
    }
    bool ready() override { return readback_->ready(); }
    std::span<const std::byte> wait() override { return readback_->wait(); }

   private:
    CudaContext& context_;
    std::unique_ptr<Readback> readback_;
  };

  CudaContext& after_all_but(std::initializer_list<Side> sides) {
    for (std::size_t i = 0; i < kSides; ++i) {
      if (std::ranges::find(sides, static_cast<Side>(i)) == sides.end()) context_.join(static_cast<Side>(i));
    }
    return context_;
  }
  CudaContext& after_all() {
    context_.join_all();
    return context_;
  }

  // What an operation does on a side is done before any other one begins, but for those here that name a side they do
  // not wait for: of what it reads and writes they touch nothing, but to read what it reads.
  void execute(const BeginStep& op) override { cuda::execute(after_all(), op); }
  void execute(const SelectRows& op) override { cuda::execute(after_all_but({Side::kTokens}), op); }
  void execute(const IndexTokens& op) override { cuda::execute(after_all_but({Side::kTokens}), op); }
  void execute(const ProjectTokens<float>& op) override {
    if (op.dropout.rate > 0) context_.join(Side::kTokens);  // asks which words are left out
    cuda::execute(after_all_but({Side::kTokens, Side::kSort}), op);
  }
  void execute(const RecurrenceForward<float>& op) override { cuda::execute(after_all_but({Side::kSort}), op); }
  void execute(const IndexSteps& op) override { cuda::execute(after_all(), op); }
  void execute(const ReverseIndex& op) override { cuda::execute(after_all(), op); }
  void execute(const StackStates<float>& op) override { cuda::execute(after_all(), op); }
  void execute(const StackGradient<float>& op) override { cuda::execute(after_all(), op); }
  void execute(const HeadForward<float>& op) override { cuda::execute(after_all_but({Side::kSort}), op); }
  void execute(const HeadBackward<float>& op) override { cuda::execute(after_all_but({Side::kSort}), op); }
  void execute(const RecurrenceBackward<float>& op) override {
    cuda::execute(after_all_but({Side::kSort, Side::kHead}), op);
  }
  void execute(const ProjectionGradient<float>& op) override { cuda::execute(after_all_but({Side::kRecurrent}), op); }
  void execute(const LayerForward<float>& op) override { cuda::execute(after_all(), op); }
  void execute(const LayerBackward<float>& op) override { cuda::execute(after_all(), op); }
  void execute(const ClipGradient<float>& op) override { cuda::execute(after_all(), op); }
  void execute(const OptimizerStep<float>& op) override { cuda::execute(after_all_but({Side::kNorm}), op); }
  void execute(const CatchUp<float>& op) override { cuda::execute(after_all_but({Side::kSort}), op); }

  static constexpr std::size_t kMostUnread = 4096;
  struct TimedRange {
    int number = 0;  // in timings_
    Platform::Moment begin, end;
  };

  void read_timings() {
    if (range_error_) std::rethrow_exception(std::exchange(range_error_, nullptr));
    for (const TimedRange& range : ended_) {
      timings_.add(range.number, Platform::seconds_between(range.begin, range.end));
    }
    ended_.clear();
  }

  BackendOptions options_;
  std::vector<std::unique_ptr<CudaBackend>> branches_;  // made when first asked for; gone after the graphs they are in
  CudaContext context_;
  bool graphs_, timed_;
  RangeTimings timings_;
  std::exception_ptr range_error_;  // a range ends in a destructor: thrown when the next one begins
  std::vector<TimedRange> open_, ended_;
  bool capturing_ = false;
  std::string graph_name_;
  std::set<std::string> seen_;  // names of graphs
};

}  // namespace
}  // namespace reel::cuda

namespace reel {

std::unique_ptr<Backend<float>> make_cuda_backend(const BackendOptions& options) {
  return std::make_unique<cuda::CudaBackend>(options);
}

}  // namespace reel
