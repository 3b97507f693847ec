// Launches: held to the device's limits, then run by the emulator.
#include <cuda_runtime_api.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/cuda_runtime/devices.h"
#include "tests/cuda_runtime/state.h"
#include "tests/emulator/kernel_names.h"
#include "tests/emulator/scheduler.h"

namespace reel::runtime {
namespace {

/// What the compiler says of a kernel.
struct Resources {
  int registers = 255;     // of a thread; of a kernel that nothing is known of, as many as there can be
  std::size_t shared = 0;  // bytes, static
  std::uint64_t threads = kThreadsPerBlock;  // at most, by __launch_bounds__
};

/// tests/cuda/kernel_resources.tsv: symbol, registers, bytes of static shared memory, most threads.
std::map<std::string, Resources> read_resources() {
  std::map<std::string, Resources> all;
  std::ifstream file(REEL_KERNEL_RESOURCES);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    Resources resources;
    if (words >> name >> resources.registers >> resources.shared >> resources.threads) all[name] = resources;
  }
  return all;
}

Resources& resources_of(const void* kernel) {
  static const std::map<std::string, Resources> all = read_resources();
  static std::map<const void*, Resources> known;
  const auto [entry, fresh] = known.try_emplace(kernel);
  const auto found = fresh ? all.find(emulator::kernel_name(kernel)) : all.end();
  if (found != all.end()) entry->second = found->second;
  return entry->second;
}

unsigned cluster_of(const cudaLaunchConfig_t& config) {
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    if (config.attrs[i].id == cudaLaunchAttributeClusterDimension) return config.attrs[i].val.clusterDim.x;
  }
  return 1;
}

std::size_t allowed_shared_memory(Runtime& r, const void* kernel) {
  const auto asked = r.shared_memory_asked_for.find(kernel);
  if (asked != r.shared_memory_asked_for.end()) return static_cast<std::size_t>(asked->second);
  return kSharedMemoryWithoutAsking - resources_of(kernel).shared;
}

/// Of the largest size the device says itself, of others as many as its multiprocessors have room for, a block on each.
int active_clusters(const Device& device, unsigned size) {
  if (size == kLargestCluster || device.clusters == 0) return device.clusters;
  return std::max(device.clusters, device.multiprocessors / static_cast<int>(size));
}

cudaError_t check_cluster(const Device& device, const cudaLaunchConfig_t& config) {
  const unsigned cluster = cluster_of(config);
  if (cluster == 1) return cudaSuccess;
  if (!has_clusters(device)) return cudaErrorNotSupported;
  if (cluster == 0 || cluster > kLargestCluster || config.gridDim.x % cluster != 0) return cudaErrorInvalidClusterSize;
  return device.clusters > 0 ? cudaSuccess : cudaErrorLaunchOutOfResources;
}

/// CUDA C++ Programming Guide, "Compute Capabilities"; registers are given to warps by 256.
cudaError_t check(Runtime& r, const void* kernel, const cudaLaunchConfig_t& config) {
  const dim3 &grid = config.gridDim, &block = config.blockDim;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kThreadsPerBlock || block.x > 1024 || block.y > 1024 || block.z > 64) {
    return cudaErrorInvalidConfiguration;
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7FFFFFFFu || grid.y > 65535 || grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  if (threads > resources_of(kernel).threads) return cudaErrorInvalidValue;
  if (config.dynamicSmemBytes > allowed_shared_memory(r, kernel)) return cudaErrorInvalidValue;
  const std::uint64_t registers = static_cast<std::uint64_t>(resources_of(kernel).registers + 7) / 8 * 8;
  if ((threads + 31) / 32 * 32 * registers > kRegistersPerBlock) return cudaErrorLaunchOutOfResources;
  return check_cluster(r.options.device, config);
}

/// Programs, their heaps and stacks lie above; most of what sanitizers keep for themselves, which is all mapped, below.
constexpr std::uintptr_t kLowestHostMemory = 0x5000'0000'0000;

/// A kernel that is given a pointer into the host's own memory reads it here, but nowhere else. Numbers beside each
/// other may look like one by chance; that it is mapped, too, is unlikely.
void refuse_host_memory(Runtime& r, const emulator::KernelType& type, Bytes args) {
  if (type.clear_padding == nullptr) return;
  type.clear_padding(args.data());
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (std::size_t i = 0; i + sizeof(std::uintptr_t) <= args.size(); i += sizeof(std::uintptr_t)) {
    std::uintptr_t word = 0;
    std::memcpy(&word, args.data() + i, sizeof word);
    if (word < kLowestHostMemory) continue;
    unsigned char resident = 0;
    MemoryKind kind{};
    locate(r, reinterpret_cast<const void*>(word), 1, kind);
    const bool mapped = ::mincore(reinterpret_cast<void*>(word / page * page), 1, &resident) == 0;
    if (kind == MemoryKind::kPageable && mapped) {
      violation("a kernel is given host memory, in byte " + std::to_string(i) + " of its arguments");
    }
  }
}

void run(Runtime& r, const emulator::LaunchConfig& config, const void* kernel, const Bytes& args) {
  const emulator::KernelType& type = *emulator::find_kernel(kernel);
  try {
    emulator::launch(config, {kernel, args.data(), args.size()}, [&] { type.call(kernel, args.data()); });
  } catch (const emulator::Error& error) {
    const bool address = std::strstr(error.what(), "invalid access") != nullptr;
    fail_device(r, address ? cudaErrorIllegalAddress : cudaErrorLaunchFailure, error.what());
  }
}

}  // namespace

void set_launch_bound(const void* kernel, int threads) {
  resources_of(kernel).threads = static_cast<std::uint64_t>(threads);
}

}  // namespace reel::runtime

using namespace reel::runtime;
namespace emulator = reel::emulator;

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return call([&](Runtime& r) {
    if (emulator::find_kernel(kernel) == nullptr) return cudaErrorInvalidDeviceFunction;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0) return cudaErrorInvalidValue;
    const std::size_t most = shared_memory_per_block(r.options.device) - resources_of(kernel).shared;
    if (static_cast<std::size_t>(value) > most) return cudaErrorInvalidValue;
    r.shared_memory_asked_for[kernel] = value;
    return cudaSuccess;
  });
}

/// As this program's compiler mangles it, with all that Reel's kernels stand in.
cudaError_t cudaFuncGetName(const char** name, const void* kernel) {
  return call([&](Runtime&) {
    if (emulator::find_kernel(kernel) == nullptr) return cudaErrorInvalidDeviceFunction;
    static std::map<const void*, std::string> names;
    std::string& known = names[kernel];
    if (known.empty()) known = "_ZN4reel4cuda12_GLOBAL__N_1" + emulator::kernel_name(kernel);
    *name = known.c_str();
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* kernel, const cudaLaunchConfig_t* config) {
  return call([&](Runtime& r) {
    *clusters = 0;
    if (emulator::find_kernel(kernel) == nullptr) return cudaErrorInvalidDeviceFunction;
    if (cluster_of(*config) == 1) return cudaErrorInvalidClusterSize;
    const cudaError_t error = check(r, kernel, *config);
    if (error == cudaErrorLaunchOutOfResources) return cudaSuccess;
    if (error == cudaSuccess) *clusters = active_clusters(r.options.device, cluster_of(*config));
    return error;
  });
}

/// The argument is copied: the kernel runs later.
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** args) {
  return call([&](Runtime& r) {
    const emulator::KernelType* const type = emulator::find_kernel(kernel);
    if (type == nullptr) return cudaErrorInvalidDeviceFunction;
    if (const cudaError_t error = check(r, kernel, *config)) return error;
    const auto* const argument = static_cast<const std::byte*>(args[0]);
    const auto copied = std::make_shared<const Bytes>(argument, argument + type->argument_size);
    refuse_host_memory(r, *type, *copied);
    const emulator::LaunchConfig launch{.grid = config->gridDim,
                                        .block = config->blockDim,
                                        .shared = config->dynamicSmemBytes,
                                        .cluster = cluster_of(*config)};
    const std::string kind = "kernel " + std::to_string(reinterpret_cast<std::uintptr_t>(kernel)) + " " +
                             emulator::kernel_name(kernel) + " cluster " + std::to_string(launch.cluster);
    return enqueue(config->stream, kind,
                   [=, &r] { return Work{.what = kind, .run = [=, &r] { run(r, launch, kernel, *copied); }}; });
  });
}
