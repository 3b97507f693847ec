// The device's libraries: the CUDA runtime, CUB, and cuBLAS, which is loaded when a backend is made, so that commands
// which compute nothing start fast and no CUDA library is needed without a GPU.
#include "kernels/cuda/platform.h"

#include <cublas_v2.h>
#include <cuda_profiler_api.h>
#include <nvtx3/nvToolsExt.h>

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#include <map>
#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/shared_library.h"
#include "kernels/error.h"

namespace reel::REEL_CUDA_BUILD {
namespace {

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

constexpr int kLowestCapability = 80;

}  // namespace

CudaDevice query_cuda_device() {
  int count = 0, driver = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaDriverGetVersion(&driver);
  if (error == cudaErrorInsufficientDriver && driver > 0) {
    return {false,
            "the driver supports CUDA " + version(driver) + ", expected " + version(CUDART_VERSION) + " or newer"};
  }
  if (error == cudaErrorInsufficientDriver) return {false, "no NVIDIA driver"};
  if (error != cudaSuccess) return {false, cudaGetErrorString(error)};
  if (count == 0) return {false, "no device"};
  cudaDeviceProp device{};
  cudaGetDeviceProperties(&device, 0);
  const std::string text = std::string(device.name) + ", compute capability " + std::to_string(device.major) + "." +
                           std::to_string(device.minor) + ", " + std::to_string(device.totalGlobalMem >> 30) + " GiB";
  if (10 * device.major + device.minor < kLowestCapability) {
    return {false, text + ", expected compute capability 8.0 or newer"};
  }
  return {true, text};
}

void check_cuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw Error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
}

namespace {

/// The functions of cuBLAS that are called.
class Cublas {
 public:
  explicit Cublas(cudaStream_t stream) {
    const SharedLibrary library("cuBLAS", "libcublas.so." + std::to_string(CUBLAS_VER_MAJOR));
    check(library.find<decltype(&cublasCreate_v2)>("cublasCreate_v2")(&handle_), "cublasCreate");
    check(library.find<decltype(&cublasSetStream_v2)>("cublasSetStream_v2")(handle_, stream), "cublasSetStream");
    check_cuda(cudaMalloc(&workspace_, kWorkspace), "cudaMalloc");
    check(library.find<decltype(&cublasSetWorkspace_v2)>("cublasSetWorkspace_v2")(handle_, workspace_, kWorkspace),
          "cublasSetWorkspace");
    sgemm_ = library.find<decltype(&cublasSgemm_v2)>("cublasSgemm_v2");
    destroy_ = library.find<decltype(&cublasDestroy_v2)>("cublasDestroy_v2");
  }
  ~Cublas() {
    destroy_(handle_);
    cudaFree(workspace_);
  }
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  /// cuBLAS is column-major: it sees every matrix transposed, and computes C^T = B^T A^T.
  void product(const Product& p) const {
    const float one = 1;
    const auto transposed = [](bool yes) { return yes ? CUBLAS_OP_T : CUBLAS_OP_N; };
    check(sgemm_(handle_, transposed(p.b_transposed), transposed(p.a_transposed), static_cast<int>(p.n),
                 static_cast<int>(p.m), static_cast<int>(p.k), &one, p.b, static_cast<int>(p.b_transposed ? p.k : p.n),
                 p.a, static_cast<int>(p.a_transposed ? p.m : p.k), &p.beta, p.c, static_cast<int>(p.n)),
          "cublasSgemm");
  }

 private:
  static constexpr std::size_t kWorkspace = std::size_t{32} << 20;  // what NVIDIA recommends for Hopper

  static void check(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS) {
      throw Error(std::string("CUDA: ") + what + ": cuBLAS status " + std::to_string(status));
    }
  }

  cublasHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  decltype(&cublasSgemm_v2) sgemm_ = nullptr;
  decltype(&cublasDestroy_v2) destroy_ = nullptr;
};

struct Stream {
  cudaStream_t handle = nullptr;
  Stream() { check_cuda(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "cudaStreamCreate"); }
  ~Stream() { cudaStreamDestroy(handle); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

class PinnedReadback final : public Readback {
 public:
  PinnedReadback(cudaStream_t stream, std::size_t bytes) : stream_(stream) {
    check_cuda(cudaMallocHost(&memory_, bytes), "cudaMallocHost");
    check_cuda(cudaEventCreateWithFlags(&arrived_, cudaEventDisableTiming), "cudaEventCreate");
  }
  ~PinnedReadback() override {
    cudaEventDestroy(arrived_);
    cudaFreeHost(memory_);
  }
  PinnedReadback(const PinnedReadback&) = delete;
  PinnedReadback& operator=(const PinnedReadback&) = delete;

  void start(std::span<const std::byte> from) override {
    size_ = from.size();
    check_cuda(cudaMemcpyAsync(memory_, from.data(), size_, cudaMemcpyDeviceToHost, stream_), "cudaMemcpy");
    check_cuda(cudaEventRecord(arrived_, stream_), "cudaEventRecord");
  }
  bool ready() override {
    const cudaError_t status = cudaEventQuery(arrived_);
    if (status != cudaErrorNotReady) check_cuda(status, "cudaEventQuery");
    return status == cudaSuccess;
  }
  std::span<const std::byte> wait() override {
    check_cuda(cudaEventSynchronize(arrived_), "cudaEventSynchronize");
    return {static_cast<const std::byte*>(memory_), size_};
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t arrived_ = nullptr;
  void* memory_ = nullptr;
  std::size_t size_ = 0;
};

DeviceLimits query_limits() {
  const CudaDevice device = query_cuda_device();
  if (!device.usable) throw Error("--device cuda: " + device.text + "; --device cpu works without");
  check_cuda(cudaSetDevice(0), "cudaSetDevice");
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  int has_clusters = 0;
  check_cuda(cudaDeviceGetAttribute(&has_clusters, cudaDevAttrClusterLaunch, 0), "cudaDeviceGetAttribute");
  return {.name = properties.name,
          .capability = 10 * properties.major + properties.minor,
          .multiprocessors = properties.multiProcessorCount,
          .clusters = has_clusters != 0 ? properties.multiProcessorCount / kClusterBlocks : 0,
          .shared_per_block = properties.sharedMemPerBlockOptin,
          .memory = properties.totalGlobalMem};
}

}  // namespace

struct Platform::Parts {
  DeviceLimits limits = query_limits();
  Stream stream;
  Cublas cublas{stream.handle};
  std::vector<void*> cub_memories;  // outgrown ones too: graphs may still use them
  std::size_t cub_size = 0;
  std::map<std::string, cudaGraphExec_t> graphs;

  Parts() = default;
  ~Parts() {
    for (const auto& [name, graph] : graphs) cudaGraphExecDestroy(graph);
    for (void* const memory : cub_memories) cudaFree(memory);
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  /// Runs a CUB algorithm: asked with no memory, it says how much it needs.
  template <class Algorithm>
  void run_cub(const Algorithm& algorithm) {
    std::size_t size = 0;
    check_cuda(algorithm(nullptr, size), "CUB");
    if (size > cub_size) {
      void* memory = nullptr;
      check_cuda(cudaMalloc(&memory, size), "cudaMalloc");
      cub_memories.push_back(memory);
      cub_size = size;
    }
    check_cuda(algorithm(cub_memories.back(), size), "CUB");
  }
};

Platform::Platform() : parts_(std::make_unique<Parts>()) {}
Platform::~Platform() = default;

const DeviceLimits& Platform::limits() const { return parts_->limits; }
cudaStream_t Platform::stream() const { return parts_->stream.handle; }
void Platform::synchronize() { check_cuda(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

void* Platform::allocate_uninitialised(std::size_t bytes) {
  void* memory = nullptr;
  const std::size_t size = bytes > 0 ? bytes : 1;
  const cudaError_t status = cudaMalloc(&memory, size);
  if (status == cudaErrorMemoryAllocation) {
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw Error("CUDA: out of memory: " + std::to_string(size >> 20) + " MiB asked for, " + std::to_string(free >> 20) +
                " of " + std::to_string(total >> 20) + " MiB free; try a smaller --batch-size");
  }
  check_cuda(status, "cudaMalloc");
  return memory;
}

void* Platform::allocate(std::size_t bytes) {
  void* const memory = allocate_uninitialised(bytes);
  if (bytes > 0) check_cuda(cudaMemsetAsync(memory, 0, bytes, stream()), "cudaMemset");
  return memory;
}

void Platform::release(void* memory) noexcept { cudaFree(memory); }

void Platform::copy(void* to, const void* from, std::size_t bytes) {
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream()), "cudaMemcpy");
}

std::unique_ptr<Readback> Platform::make_readback(std::size_t bytes) {
  return std::make_unique<PinnedReadback>(stream(), bytes);
}

void Platform::begin_capture() {
  // Relaxed: memory may be allocated meanwhile.
  check_cuda(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
}

void Platform::end_capture(const std::string& name) {
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamEndCapture(stream(), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t& executable = parts_->graphs[name];
  cudaGraphExecUpdateResultInfo result{};
  if (executable != nullptr && cudaGraphExecUpdate(executable, graph, &result) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());  // another topology: a graph of its own
    cudaGraphExecDestroy(executable);
    executable = nullptr;
  }
  if (executable == nullptr) check_cuda(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  check_cuda(cudaGraphDestroy(graph), "cudaGraphDestroy");
  check_cuda(cudaGraphLaunch(executable, stream()), "cudaGraphLaunch");
}

void Platform::begin_range(const char* name) { nvtxRangePushA(name); }
void Platform::end_range() { nvtxRangePop(); }
void Platform::record_profile(bool on) {
  check_cuda(on ? cudaProfilerStart() : cudaProfilerStop(), on ? "cudaProfilerStart" : "cudaProfilerStop");
}

Platform::Moment Platform::mark() {
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreate(&event), "cudaEventCreate");
  Moment moment(event, [](void* made) { cudaEventDestroy(static_cast<cudaEvent_t>(made)); });
  check_cuda(cudaEventRecord(event, stream()), "cudaEventRecord");
  return moment;
}

double Platform::seconds_between(const Moment& begin, const Moment& end) {
  check_cuda(cudaEventSynchronize(static_cast<cudaEvent_t>(end.get())), "cudaEventSynchronize");
  float milliseconds = 0;
  check_cuda(
      cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(begin.get()), static_cast<cudaEvent_t>(end.get())),
      "cudaEventElapsedTime");
  return milliseconds / 1000.0;
}

void Platform::product(const Product& product) { parts_->cublas.product(product); }

void Platform::sort_pairs(const std::int32_t* keys, std::int32_t* sorted_keys, const std::int32_t* values,
                          std::int32_t* sorted_values, std::int64_t count, int bits) {
  parts_->run_cub([&](void* memory, std::size_t& size) {
    return cub::DeviceRadixSort::SortPairs(memory, size, keys, sorted_keys, values, sorted_values,
                                           static_cast<int>(count), 0, bits, stream());
  });
}

void Platform::inclusive_sum(const std::int32_t* values, std::int32_t* sums, std::int64_t count) {
  parts_->run_cub([&](void* memory, std::size_t& size) {
    return cub::DeviceScan::InclusiveSum(memory, size, values, sums, static_cast<int>(count), stream());
  });
}

}  // namespace reel::REEL_CUDA_BUILD
