// The runtime's state, for its own files.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "tests/cuda_runtime/runtime.h"

namespace reel::runtime {

using Bytes = std::vector<std::byte>;

struct Stream;

/// Something a stream does. It runs once everything before it in its stream, and everything in `after`, has run.
struct Work {
  std::string what;
  std::function<void()> run;
  std::vector<std::shared_ptr<Work>> after;
  Stream* stream = nullptr;
  const void* pinned = nullptr;  // the pinned memory that it reads or writes
  bool done = false;
  std::chrono::steady_clock::time_point done_at{};
};

/// A node of a graph. `make` gives what it does at a launch; what an update may not change is in `kind`.
struct Node {
  std::string kind;
  std::function<Work()> make;
  std::vector<std::size_t> after;  // nodes
  bool operator==(const Node& other) const { return kind == other.kind && after == other.after; }
};
using Nodes = std::vector<Node>;

/// Of one cudaStreamBeginCapture; streams that join by an event share it.
struct Capture {
  cudaStreamCaptureMode mode;
  cudaStream_t origin;
  Nodes nodes;
  bool invalid = false;
};

struct Stream {
  cudaStream_t handle = nullptr;
  std::deque<std::shared_ptr<Work>> queue;
  std::shared_ptr<Capture> capture;
  std::vector<std::size_t> tail;  // of the capture: what the next node comes after
};

struct Event {
  bool timing = true;
  std::shared_ptr<Work> record;      // null: never recorded
  int refusals = 0;                  // how often a query still answers "not ready"
  std::shared_ptr<Capture> capture;  // recorded in it
  std::vector<std::size_t> tail;
};

struct Executable {
  Nodes nodes;
  std::vector<std::shared_ptr<Work>> launched;
};

struct Allocation {
  std::size_t size = 0;
  std::byte* pages = nullptr;  // of the allocation
  std::size_t pages_size = 0;
  bool freed = false;
};

struct Runtime {
  std::recursive_mutex mutex;
  Options options;
  std::uint64_t random = 1;
  cudaError_t sticky = cudaSuccess;
  std::string kernel_error;
  std::int64_t allocations_until_failure = 0;  // 0: none fails
  bool allocation_failed = false;

  std::map<cudaStream_t, std::unique_ptr<Stream>> streams;
  std::vector<std::unique_ptr<Stream>> destroyed_streams;  // with work that has not run
  std::map<cudaEvent_t, std::unique_ptr<Event>> events;
  std::map<cudaGraph_t, Nodes> graphs;
  std::map<cudaGraphExec_t, std::unique_ptr<Executable>> executables;
  Nodes launched_last;
  std::map<std::string, int> calls;                                     // how often each function was called
  std::map<const std::byte*, Allocation> device_memory, pinned_memory;  // by address, freed ones too
  std::map<const void*, int> shared_memory_asked_for;                   // bytes, by kernel
  std::map<const void*, std::string> library_handles;                   // "cuBLAS handle"
  std::size_t used_memory = 0;
  std::uintptr_t next_handle = 0;

  std::uint64_t draw();
};
Runtime& runtime();

/// Something that CUDA leaves undefined.
void violation(const std::string& text);

/// What every call does: nothing but the error once that is sticky; before, perhaps, some of the work that waits; and
/// the error, if it ends with one, becomes the thread's last error.
cudaError_t call(const std::function<cudaError_t(Runtime&)>& body, const char* name = __builtin_FUNCTION());

/// Whether this allocation is the one to fail.
bool allocation_fails();

template <class Handle>
Handle new_handle() {
  return reinterpret_cast<Handle>(0x1000 + 0x10 * ++runtime().next_handle);
}

/// Enqueues, or captures.
cudaError_t enqueue(cudaStream_t stream, const std::string& kind, std::function<Work()> make);
std::shared_ptr<Work> push(Stream& stream, Work work);
/// Runs the stream's work up to `last`, and what that needs.
void run_until(Runtime& r, const std::shared_ptr<Work>& last);
void run_all(Runtime& r, Stream& stream);
/// A little, perhaps, of the work that waits.
void progress(Runtime& r);
/// Null for a handle that is none; the legacy default stream, which Reel's streams do not wait for, is a violation too.
Stream* find(Runtime& r, cudaStream_t stream);
Event* find(Runtime& r, cudaEvent_t event);

/// What may not be called while the stream captures: then the capture is invalid, and this is the answer.
cudaError_t conflict_with_capture(Capture& capture, cudaError_t error = cudaErrorStreamCaptureUnsupported);
/// Of calls that are unsafe while anything captures, unless it does so in relaxed mode.
cudaError_t unsafe_while_capturing(Runtime& r);
cudaError_t add_to_capture(Stream& stream, const std::string& kind, std::function<Work()> make);

enum class MemoryKind { kDevice, kPinned, kPageable };
/// Where these bytes are; false if that is device or pinned memory that is not, or no longer, allocated as a whole.
bool locate(Runtime& r, const void* address, std::size_t bytes, MemoryKind& kind);
/// Lets the host, as the device, touch device memory while it lives.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};
void free_all_memory(Runtime& r);

/// The error of a kernel, and everything after it.
void fail_device(Runtime& r, cudaError_t error, const std::string& text);

}  // namespace reel::runtime
