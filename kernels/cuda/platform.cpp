#include "kernels/cuda/platform.h"

#include <cuda_profiler_api.h>
#include <nvtx3/nvToolsExt.h>

#include <map>
#include <optional>
#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/plan.h"
#include "kernels/error.h"

namespace reel {
namespace {

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

constexpr int kLowestCapability = 80;

/// Why the runtime found no device.
std::string reason(cudaError_t error) {
  static_cast<void>(cudaGetLastError());
  int driver = 0;
  static_cast<void>(cudaDriverGetVersion(&driver));
  if (error != cudaErrorInsufficientDriver) return cudaGetErrorString(error);
  if (driver == 0) return "no NVIDIA driver";
  return "the driver supports CUDA " + version(driver) + ", expected " + version(CUDART_VERSION) + " or newer";
}

}  // namespace

CudaDevice query_cuda_device() {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) return {false, reason(error)};
  if (count == 0) return {false, "no device"};
  cudaDeviceProp device{};
  if (const cudaError_t error = cudaGetDeviceProperties(&device, 0); error != cudaSuccess)
    return {false, reason(error)};
  const std::string text = std::string(device.name) + ", compute capability " + std::to_string(device.major) + "." +
                           std::to_string(device.minor) + ", " + std::to_string(device.totalGlobalMem >> 30) + " GiB";
  if (10 * device.major + device.minor < kLowestCapability) {
    return {false, text + ", expected compute capability 8.0 or newer"};
  }
  return {true, text};
}

namespace cuda {

void check_cuda(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // the runtime keeps it, and what looks there (CUB) would fail for it later
  throw Error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
}

namespace {

struct Destroy {
  void operator()(cudaStream_t stream) const noexcept { cudaStreamDestroy(stream); }
  void operator()(cudaEvent_t event) const noexcept { cudaEventDestroy(event); }
  void operator()(cudaGraph_t graph) const noexcept { cudaGraphDestroy(graph); }
  void operator()(cudaGraphExec_t graph) const noexcept { cudaGraphExecDestroy(graph); }
};
struct FreePinned {
  void operator()(void* memory) const noexcept { cudaFreeHost(memory); }
};
template <class Handle>
using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy>;

Owner<cudaStream_t> make_stream() {
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  return Owner<cudaStream_t>(stream);
}

Owner<cudaEvent_t> make_event(unsigned flags) {
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreateWithFlags(&event, flags), "cudaEventCreate");
  return Owner<cudaEvent_t>(event);
}

class PinnedReadback final : public Readback {
 public:
  PinnedReadback(cudaStream_t stream, std::size_t bytes) : stream_(stream) {
    void* memory = nullptr;
    check_cuda(cudaMallocHost(&memory, bytes), "cudaMallocHost");
    memory_.reset(memory);
    arrived_ = make_event(cudaEventDisableTiming);
  }
  ~PinnedReadback() override { cudaEventSynchronize(arrived_.get()); }
  PinnedReadback(const PinnedReadback&) = delete;
  PinnedReadback& operator=(const PinnedReadback&) = delete;

  void start(std::span<const std::byte> from) override {
    size_ = from.size();
    check_cuda(cudaMemcpyAsync(memory_.get(), from.data(), size_, cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync");
    check_cuda(cudaEventRecord(arrived_.get(), stream_), "cudaEventRecord");
  }
  bool ready() override {
    const cudaError_t status = cudaEventQuery(arrived_.get());
    if (status == cudaErrorNotReady) {
      static_cast<void>(cudaGetLastError());  // an answer, but the runtime keeps it as an error
      return false;
    }
    check_cuda(status, "cudaEventQuery");
    return true;
  }
  std::span<const std::byte> wait() override {
    check_cuda(cudaEventSynchronize(arrived_.get()), "cudaEventSynchronize");
    return {static_cast<const std::byte*>(memory_.get()), size_};
  }

 private:
  cudaStream_t stream_;
  std::unique_ptr<void, FreePinned> memory_;
  Owner<cudaEvent_t> arrived_;
  std::size_t size_ = 0;
};

DeviceLimits query_limits() {
  const CudaDevice device = query_cuda_device();
  if (!device.usable) throw Error("--device cuda: " + device.text + "; --device cpu works without");
  check_cuda(cudaSetDevice(0), "cudaSetDevice");
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  int clusters = 0;
  check_cuda(cudaDeviceGetAttribute(&clusters, cudaDevAttrClusterLaunch, 0), "cudaDeviceGetAttribute");
  return {.name = properties.name,
          .capability = 10 * properties.major + properties.minor,
          .multiprocessors = properties.multiProcessorCount,
          .clusters = clusters != 0,
          .shared_per_block = properties.sharedMemPerBlockOptin,
          .memory = properties.totalGlobalMem};
}

/// Whether `executable` now has the arguments of `graph`; false where their topologies differ.
bool update(cudaGraphExec_t executable, cudaGraph_t graph) {
  cudaGraphExecUpdateResultInfo result{};
  const cudaError_t status = cudaGraphExecUpdate(executable, graph, &result);
  if (status == cudaErrorGraphExecUpdateFailure) {
    static_cast<void>(cudaGetLastError());
    return false;
  }
  check_cuda(status, "cudaGraphExecUpdate");
  return true;
}

}  // namespace

struct Platform::Parts {
  explicit Parts(bool multiplies) {
    if (!multiplies) return;
    cublas_workspace.emplace(Cublas::kWorkspaceBytes);
    cublas.emplace(stream.get(), cublas_workspace->data());
  }
  ~Parts() { cudaStreamSynchronize(stream.get()); }  // graphs are not destroyed while they run
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  /// Runs an algorithm of CUB.
  template <class Args>
  void run_cub(cudaError_t (*algorithm)(void*, std::size_t&, const Args&, cudaStream_t), const Args& args) {
    std::size_t size = 0;
    check_cuda(algorithm(nullptr, size, args, stream.get()), "CUB");
    if (cub_memories.empty() || size > cub_memories.back().size()) cub_memories.emplace_back(size);
    check_cuda(algorithm(cub_memories.back().data(), size, args, stream.get()), "CUB");
  }

  DeviceLimits limits = query_limits();
  Owner<cudaStream_t> stream = make_stream();
  Owner<cudaEvent_t> reached = make_event(cudaEventDisableTiming);  // for wait_for()
  std::optional<DeviceMemory> cublas_workspace;
  std::optional<Cublas> cublas;
  std::vector<DeviceMemory> cub_memories;  // outgrown ones too: graphs may still use them
  std::map<std::string, Owner<cudaGraphExec_t>> graphs;
};

Platform::Platform(bool multiplies) : parts_(std::make_unique<Parts>(multiplies)) {}
Platform::~Platform() = default;

const DeviceLimits& Platform::limits() const { return parts_->limits; }
cudaStream_t Platform::stream() const { return parts_->stream.get(); }
void Platform::synchronize() { check_cuda(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

void Platform::wait_for(Platform& other) {
  if (PlanRecorder* const plan = PlanRecorder::current()) return plan->wait(stream(), other.stream());
  const cudaEvent_t reached = other.parts_->reached.get();
  check_cuda(cudaEventRecord(reached, other.stream()), "cudaEventRecord");
  check_cuda(cudaStreamWaitEvent(stream(), reached, 0), "cudaStreamWaitEvent");
}

void* Platform::allocate_uninitialised(std::size_t bytes) {
  const std::size_t size = bytes > 0 ? bytes : 1;
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, size);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    std::size_t free = 0, total = 0;
    check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    throw Error("CUDA: out of memory: " + std::to_string((size + (1 << 20) - 1) >> 20) + " MiB asked for, " +
                std::to_string(free >> 20) + " of " + std::to_string(total >> 20) +
                " MiB free; try a smaller --batch-size");
  }
  check_cuda(status, "cudaMalloc");
  return memory;
}

/// Its zeros are no part of a plan: they are there when what was planned runs.
void* Platform::allocate(std::size_t bytes) {
  DeviceMemory memory(bytes);
  if (bytes > 0) check_cuda(cudaMemsetAsync(memory.data(), 0, bytes, stream()), "cudaMemsetAsync");
  return memory.give_up();
}

void Platform::clear(void* memory, std::size_t bytes) {
  if (PlanRecorder* const plan = PlanRecorder::current()) {
    return plan->add_call(stream(), "memset", {.bytes = static_cast<double>(bytes)}, 1);
  }
  check_cuda(cudaMemsetAsync(memory, 0, bytes, stream()), "cudaMemsetAsync");
}

void Platform::release(void* memory) noexcept {
  cudaDeviceSynchronize();
  cudaFree(memory);
}

void Platform::copy(void* to, const void* from, std::size_t bytes) {
  if (PlanRecorder* const plan = PlanRecorder::current()) {
    return plan->add_call(stream(), "memcpy", {.bytes = 2 * static_cast<double>(bytes)}, 1);
  }
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream()), "cudaMemcpyAsync");
}

std::unique_ptr<Readback> Platform::make_readback(std::size_t bytes) {
  return std::make_unique<PinnedReadback>(stream(), bytes);
}

void Platform::begin_capture() {
  // Relaxed: memory may be allocated meanwhile.
  check_cuda(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
}

void Platform::end_capture(const std::string& name) {
  cudaGraph_t captured = nullptr;
  check_cuda(cudaStreamEndCapture(stream(), &captured), "cudaStreamEndCapture");
  const Owner<cudaGraph_t> graph(captured);
  Owner<cudaGraphExec_t>& executable = parts_->graphs[name];
  if (executable && !update(executable.get(), graph.get())) {
    synchronize();  // it may be running
    executable.reset();
  }
  if (!executable) {
    cudaGraphExec_t made = nullptr;
    check_cuda(cudaGraphInstantiate(&made, graph.get(), 0), "cudaGraphInstantiate");
    executable.reset(made);
  }
  check_cuda(cudaGraphLaunch(executable.get(), stream()), "cudaGraphLaunch");
}

void Platform::abandon_capture() noexcept {
  cudaGraph_t captured = nullptr;
  cudaStreamEndCapture(stream(), &captured);
  const Owner<cudaGraph_t> graph(captured);
  static_cast<void>(cudaGetLastError());
}

bool Platform::launch(const std::string& name) {
  const auto found = parts_->graphs.find(name);
  if (found == parts_->graphs.end() || !found->second) return false;
  check_cuda(cudaGraphLaunch(found->second.get(), stream()), "cudaGraphLaunch");
  return true;
}

void Platform::forget(const std::string& name) noexcept {
  cudaStreamSynchronize(stream());
  parts_->graphs.erase(name);
}

double Platform::replay(const std::string& name, int runs) {
  const Moment begin = mark();
  for (int run = 0; run < runs; ++run) {
    if (!launch(name)) throw Error("CUDA: no graph '" + name + "' has been captured");
  }
  return seconds_between(begin, mark());
}

void Platform::begin_range(const char* name) { nvtxRangePushA(name); }
void Platform::end_range() { nvtxRangePop(); }
void Platform::record_profile(bool on) {
  check_cuda(on ? cudaProfilerStart() : cudaProfilerStop(), on ? "cudaProfilerStart" : "cudaProfilerStop");
}

Platform::Moment Platform::mark() {
  Owner<cudaEvent_t> event = make_event(cudaEventDefault);
  check_cuda(cudaEventRecord(event.get(), stream()), "cudaEventRecord");
  return Moment(std::move(event));
}

double Platform::seconds_between(const Moment& begin, const Moment& end) {
  const auto first = static_cast<cudaEvent_t>(begin.get()), last = static_cast<cudaEvent_t>(end.get());
  check_cuda(cudaEventSynchronize(last), "cudaEventSynchronize");
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, first, last), "cudaEventElapsedTime");
  return milliseconds / 1000.0;
}

/// cuBLAS is expected to split a long sum that would leave most multiprocessors without a tile of 128 x 128.
void Platform::product(const Product& args) {
  PlanRecorder* const plan = PlanRecorder::current();
  if (plan == nullptr) return parts_->cublas->product(args);
  constexpr std::int64_t kTile = 128, kLongSum = 2048;
  const std::int64_t tiles = ((args.m + kTile - 1) / kTile) * ((args.n + kTile - 1) / kTile);
  const bool splits = args.k >= kLongSum && 2 * tiles < limits().multiprocessors;
  const auto m = static_cast<double>(args.m), n = static_cast<double>(args.n), k = static_cast<double>(args.k);
  plan->add_call(stream(),
                 (args.tensor_cores ? "sgemm (TF32) " : "sgemm ") + std::to_string(args.m) + " x " +
                     std::to_string(args.n) + " x " + std::to_string(args.k),
                 {.bytes = 4 * (m * k + k * n + (args.beta == 0 ? 1 : 2) * m * n), .flops = 2 * m * n * k},
                 splits ? 2 : 1,
                 args.tensor_cores ? DeviceRates::kTf32FlopsPerSecond : DeviceRates::kProductsFlopsPerSecond);
}

/// CUB clears counters, counts and adds up the digits of all passes at once, and makes a pass for each 8 bits, for
/// which it clears again.
void Platform::sort_pairs(const SortPairs& args) {
  PlanRecorder* const plan = PlanRecorder::current();
  if (plan == nullptr) return parts_->run_cub(&cuda::sort_pairs, args);
  const int passes = (args.bits + 7) / 8;
  const double count = static_cast<double>(args.count);
  plan->add_call(stream(), "cub::DeviceRadixSort::SortPairs", {.bytes = 4 * count * (1 + 4 * passes)}, 4 + 2 * passes);
}

/// CUB clears the state of its tiles first.
void Platform::inclusive_sum(const InclusiveSum& args) {
  PlanRecorder* const plan = PlanRecorder::current();
  if (plan == nullptr) return parts_->run_cub(&cuda::inclusive_sum, args);
  plan->add_call(stream(), "cub::DeviceScan::InclusiveSum", {.bytes = 8 * static_cast<double>(args.count)}, 2);
}

}  // namespace cuda
}  // namespace reel
