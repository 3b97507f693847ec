// A stand-in for the CUDA runtime, stricter than the real one: kernels/cuda/ is linked against it unchanged, and the
// emulator runs the kernels. What CUDA leaves undefined is found and reported here; what CUDA does late is done as late
// as the order of a stream allows; what CUDA refuses is refused.
//
// Rules, each with a test in a file beside it:
// - the last error is kept until somebody asks for it (cudaErrorNotReady too); a failed kernel's is never forgotten;
// - copies, memsets and kernels run when something waits for them, and not before (with a seed: at random moments); the
//   host's side of a copy is read and written then; an event answers "not ready" first;
// - the host cannot touch device memory, nor kernels and libraries the host's or what was freed; freeing does not wait;
// - a capturing stream collects; what may not be called meanwhile invalidates the capture; arguments are copied;
// - launches are held to the device's limits: threads, grid, cluster, shared memory and who asked for it, registers;
// and
//   to the kernel's own, __launch_bounds__;
// - the n-th allocation can fail; what is freed twice, or never, is reported.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace reel::runtime {

enum class Driver { kWorks, kTooOld, kMissing };

struct Device {
  Driver driver = Driver::kWorks;
  int count = 1;
  int major = 9, minor = 0;
  int multiprocessors = 2;                    // few, so that each walks through several rows
  int clusters = 2;                           // of the largest portable size that run at once
  std::size_t memory = std::size_t{1} << 34;  // bytes
};

struct Options {
  Device device;
  /// 0: work runs when it must. Else, in between, at moments that this seed draws.
  std::uint64_t seed = 0;
};

/// Anew from the environment: REEL_RUNTIME_SEED=n and REEL_RUNTIME_DEVICE=9.0, 8.6, ..., h200 (as large as one), none,
/// old-driver, no-driver.
Options options_from_environment();
/// For everything from here on; nothing may be alive.
void set_options(const Options& options);

/// The n-th allocation from now on, counted from 1, fails: of device or pinned memory, a stream, an event, a graph, a
/// library's handle. 0: none. Also REEL_RUNTIME_FAIL=n.
void fail_allocation(std::int64_t n);
/// Whether that one has been reached.
bool allocation_failed();

/// __launch_bounds__ of a kernel that kernel_resources.tsv does not list.
void set_launch_bound(const void* kernel, int threads);

/// What is alive: "stream", "device memory, 256 bytes", ...
std::vector<std::string> alive();

/// Collects what is undefined in CUDA; without one, the first such thing ends the process with a message.
class Violations {
 public:
  Violations();
  ~Violations();
  Violations(const Violations&) = delete;
  Violations& operator=(const Violations&) = delete;
  const std::vector<std::string>& found() const { return found_; }

 private:
  std::vector<std::string> found_;
  Violations* before_;
  friend void violation(const std::string& text);
};

/// Forgets a sticky error, the last error and all work that has not run, as a new process would: for tests that end a
/// kernel with an error.
void reset();

/// Those nodes of the graph that was launched last, two and two, that do not wait for each other, by what they are:
/// "memset", "kernel <address> <mangled name> cluster 1", ...
std::vector<std::pair<std::string, std::string>> concurrent_nodes();

/// The nodes of the graph that was launched last, each with those it waits for, ascending, which are before it.
std::vector<std::pair<std::string, std::vector<std::size_t>>> launched_nodes();

/// How often each function of the runtime has been called since the last call, or since the process began.
std::map<std::string, int> take_calls();

/// What a failed kernel said, for people; empty if none has failed.
std::string kernel_error();

/// The ranges of NVTX that began while a profile was recorded, since the last call.
std::vector<std::string> take_profiled_ranges();

}  // namespace reel::runtime
