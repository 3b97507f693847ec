// The state, its options, and what is reported to whom.
#include "tests/cuda_runtime/state.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace reel::runtime {
namespace {

Violations* recorder = nullptr;

std::int64_t number_from_environment(const char* name) {
  const char* const text = std::getenv(name);
  return text == nullptr ? 0 : std::strtoll(text, nullptr, 10);
}

/// The process has come to its end: what is alive will never be freed.
void check_nothing_is_alive() {
  if (runtime().sticky != cudaSuccess) return;  // the context is lost, and everything with it
  const std::vector<std::string> left = alive();
  for (const std::string& what : left) std::fprintf(stderr, "CUDA runtime: leaked: %s\n", what.c_str());
  if (left.empty()) return;
  std::fflush(nullptr);
  constexpr int kLeakExit = 97;
  ::_exit(kLeakExit);
}

}  // namespace

Runtime& runtime() {
  static Runtime* const instance = [] {
    auto* const made = new Runtime;  // never destroyed: checked at exit
    made->options = options_from_environment();
    made->random = made->options.seed + 1;
    made->allocations_until_failure = number_from_environment("REEL_RUNTIME_FAIL");
    std::atexit(check_nothing_is_alive);
    return made;
  }();
  return *instance;
}

std::uint64_t Runtime::draw() {
  random += 0x9E3779B97F4A7C15u;  // SplitMix64
  std::uint64_t z = random;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

Options options_from_environment() {
  Options options{.seed = static_cast<std::uint64_t>(number_from_environment("REEL_RUNTIME_SEED"))};
  const char* const device = std::getenv("REEL_RUNTIME_DEVICE");
  if (device == nullptr) return options;
  if (std::strcmp(device, "none") == 0) {
    options.device.count = 0;
  } else if (std::strcmp(device, "old-driver") == 0) {
    options.device.driver = Driver::kTooOld;
  } else if (std::strcmp(device, "no-driver") == 0) {
    options.device.driver = Driver::kMissing;
  } else if (std::strcmp(device, "h200") == 0) {
    options.device.multiprocessors = 132;
    options.device.clusters = 16;
  } else if (std::sscanf(device, "%d.%d", &options.device.major, &options.device.minor) != 2) {
    std::fprintf(stderr, "REEL_RUNTIME_DEVICE: '%s', expected 9.0, h200, none, old-driver or no-driver\n", device);
    std::abort();
  }
  return options;
}

void set_options(const Options& options) {
  for (const std::string& what : alive()) violation("other options while this is alive: " + what);
  Runtime& r = runtime();
  r.options = options;
  r.random = options.seed + 1;
}

void fail_allocation(std::int64_t n) {
  runtime().allocations_until_failure = n;
  runtime().allocation_failed = false;
}

bool allocation_failed() { return runtime().allocation_failed; }

bool allocation_fails() {
  Runtime& r = runtime();
  if (r.allocations_until_failure == 0 || --r.allocations_until_failure > 0) return false;
  r.allocation_failed = true;
  return true;
}

std::vector<std::string> alive() {
  Runtime& r = runtime();
  std::vector<std::string> all;
  for ([[maybe_unused]] const auto& stream : r.streams) all.emplace_back("stream");
  for ([[maybe_unused]] const auto& event : r.events) all.emplace_back("event");
  for ([[maybe_unused]] const auto& graph : r.graphs) all.emplace_back("graph");
  for ([[maybe_unused]] const auto& executable : r.executables) all.emplace_back("executable graph");
  for (const auto& [handle, what] : r.library_handles) all.push_back(what);
  const auto add_memory = [&](const auto& memory, const char* what) {
    for (const auto& [address, allocation] : memory) {
      if (!allocation.freed) all.push_back(what + std::to_string(allocation.size) + " bytes");
    }
  };
  add_memory(r.device_memory, "device memory, ");
  add_memory(r.pinned_memory, "pinned memory, ");
  return all;
}

Violations::Violations() : before_(recorder) { recorder = this; }
Violations::~Violations() { recorder = before_; }

void violation(const std::string& text) {
  if (recorder != nullptr) return recorder->found_.push_back(text);
  std::fprintf(stderr, "CUDA runtime: %s\n", text.c_str());
  std::abort();
}

void fail_device(Runtime& r, cudaError_t error, const std::string& text) {
  std::fprintf(stderr, "CUDA runtime: %s: %s\n", cudaGetErrorString(error), text.c_str());
  r.sticky = error;
  r.kernel_error = text;
  for (auto& [handle, stream] : r.streams) stream->queue.clear();
  for (auto& stream : r.destroyed_streams) stream->queue.clear();
}

std::string kernel_error() { return runtime().kernel_error; }

}  // namespace reel::runtime
