#include "kernels/cuda/device.h"
#include "kernels/cuda/plan.h"

namespace reel::cuda {
namespace {

/// What the runtime is told of a launch. The attribute is pointed to: not copyable.
class Config {
 public:
  Config(const void* kernel, const Launch& launch) {
    constexpr std::size_t kWithoutAsking = 48 * 1024;  // bytes of shared memory; a kernel with more has to ask
    if (launch.shared > kWithoutAsking) {
      check_cuda(
          cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(launch.shared)),
          "cudaFuncSetAttribute");
    }
    config_.gridDim = launch.grid;
    config_.blockDim = launch.block;
    config_.dynamicSmemBytes = launch.shared;
    config_.stream = launch.stream;
    if (launch.cluster == 1) return;
    attribute_.id = cudaLaunchAttributeClusterDimension;
    attribute_.val.clusterDim.x = launch.cluster;
    attribute_.val.clusterDim.y = attribute_.val.clusterDim.z = 1;
    config_.attrs = &attribute_;
    config_.numAttrs = 1;
  }
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;

  const cudaLaunchConfig_t* get() const { return &config_; }

 private:
  cudaLaunchConfig_t config_{};
  cudaLaunchAttribute attribute_{};
};

}  // namespace

void launch_kernel(const void* kernel, const Launch& launch, const void* args) {
  if (PlanRecorder* const plan = PlanRecorder::current()) return plan->add_kernel(kernel, launch);
  const Config config(kernel, launch);
  void* parameters[] = {const_cast<void*>(args)};
  check_cuda(cudaLaunchKernelExC(config.get(), kernel, parameters), "cudaLaunchKernelExC");
}

int max_active_clusters(const void* kernel, const Launch& launch) {
  const Config config(kernel, launch);
  int clusters = 0;
  check_cuda(cudaOccupancyMaxActiveClusters(&clusters, kernel, config.get()), "cudaOccupancyMaxActiveClusters");
  return clusters;
}

}  // namespace reel::cuda
