#include "kernels/cuda/plan.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "kernels/contract/cells.h"
#include "kernels/contract/optimizer.h"
#include "kernels/cuda/recurrence/moves.h"

namespace reel::cuda {
namespace {

thread_local PlanRecorder* recording = nullptr;

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t i = text.find(from); i != std::string::npos; i = text.find(from, i + to.size())) {
    text.replace(i, from.size(), to);
  }
}

/// "rnn_forward_kernel<128, tanh>"
std::string name_of(const void* kernel) {
  const char* mangled = nullptr;
  check_cuda(cudaFuncGetName(&mangled, kernel), "cudaFuncGetName");
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> demangled(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                         &std::free);
  std::string name = status == 0 ? demangled.get() : mangled;
  for (const CellTraits& cell : kCells) {
    replace_all(name, "(reel::Cell)" + std::to_string(static_cast<int>(cell.cell)), cell.name);
  }
  for (std::size_t kind = 0; kind < kOptimizerNames.size(); ++kind) {
    replace_all(name, "(reel::OptimizerKind)" + std::to_string(kind), kOptimizerNames[kind]);
  }
  for (std::size_t moves = 0; moves < kMovesNames.size(); ++moves) {
    replace_all(name, "(reel::cuda::Moves)" + std::to_string(moves), kMovesNames[moves]);
  }
  replace_all(name, "(anonymous namespace)::", "");
  replace_all(name, "reel::cuda::", "");
  replace_all(name, "reel::", "");
  if (name.starts_with("void ")) name.erase(0, 5);
  int depth = 0;  // of angle brackets: parentheses within them are casts
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (name[i] == '(' && depth == 0) name.resize(i);
  }
  return name;
}

}  // namespace

PlanRecorder::PlanRecorder(int multiprocessors) : multiprocessors_(multiprocessors) { recording = this; }
PlanRecorder::~PlanRecorder() { recording = nullptr; }
PlanRecorder* PlanRecorder::current() { return recording; }

void PlanRecorder::add(cudaStream_t stream, PlanNode node, double seconds) {
  if (!ranges_.empty()) node.operation = ranges_.back();
  node.microseconds = 1e6 * (node.launches * DeviceRates::kStartSeconds + seconds);
  std::vector<std::size_t>& last = last_[stream];
  node.after = std::exchange(last, {plan_.nodes.size()});
  plan_.nodes.push_back(std::move(node));
}

void PlanRecorder::add_kernel(const void* kernel, const Launch& launch) {
  const Work& work = known_ ? known_->work : launch.work;
  const double threads = launch.block.x, blocks = launch.grid.x;
  const double at_once = multiprocessors_ * std::min(2048 / threads, 32.0), waves = std::max(blocks / at_once, 1.0);
  const double computing =
      known_ && known_->microseconds
          ? 1e-6 * *known_->microseconds
          : std::max(work.flops / (work.tensor_cores ? DeviceRates::kTf32FlopsPerSecond : DeviceRates::kFlopsPerSecond),
                     waves * work.loads * DeviceRates::kLoadSeconds);
  const double seconds =
      std::max(work.bytes / DeviceRates::kBytesPerSecond, computing) + work.last_loads * DeviceRates::kLoadSeconds;
  add(launch.stream, {.name = name_of(kernel), .bytes = work.bytes, .flops = work.flops}, seconds);
}

void PlanRecorder::add_call(cudaStream_t stream, const std::string& name, const Work& work, int launches,
                            double flops_per_second) {
  add(stream, {.name = name, .launches = launches, .bytes = work.bytes, .flops = work.flops},
      std::max(work.bytes / DeviceRates::kBytesPerSecond, work.flops / flops_per_second));
}

void PlanRecorder::wait(cudaStream_t stream, cudaStream_t other) {
  std::vector<std::size_t>& last = last_[stream];
  for (const std::size_t node : last_[other]) last.push_back(node);
  std::ranges::sort(last);
  last.erase(std::ranges::unique(last).begin(), last.end());
}

}  // namespace reel::cuda
