// Which kernels run the recurrence: the one place where that is chosen.
#include <algorithm>

#include "kernels/cuda/operations.h"
#include "kernels/cuda/rnn_kernels.h"

namespace reel::cuda {
namespace {

enum class Strategy { kResident, kTensorCores, kCluster, kStepwise, kCudnn };

/// An estimate, nothing has been timed (README.md): a step of rnn_cluster.cu takes 1 us for each tile and 0.6 us for
/// every four batch rows of a cluster; stepwise it takes 5 us and the product, 0.01 us a row at H = 512. The cluster
/// wins by half with one tile, which is 256 rows in 16 clusters, and by a third with two.
bool cluster_pays(const CudaContext& context, const Shape& s) {
  const int capacity = cluster_capacity(context, s.hidden);
  return capacity > 0 && cluster_tiles(capacity, s.batch) <= 2;
}

/// Up to H = 256 a step of the kernels that keep W_hh takes less than the launch of one kernel (see README.md). All but
/// the stepwise ones index with 32 bits. Above, there are none on tensor cores: kMixed runs in float32.
Strategy choose(const CudaContext& context, const Shape& s, Nonlinearity nonlinearity) {
  if (context.recurrence != Recurrence::kReel) return Strategy::kCudnn;
  const std::int64_t largest = std::max((s.steps + 1) * s.batch, max_distinct(s)) * s.hidden;
  const DeviceLimits& limits = context.platform.limits();
  if (s.hidden > kMaxClusterHidden || largest >= std::int64_t{1} << 31) return Strategy::kStepwise;
  if (s.hidden > kMaxResidentHidden) return cluster_pays(context, s) ? Strategy::kCluster : Strategy::kStepwise;
  if (context.precision == Precision::kMixed && nonlinearity == Nonlinearity::kTanh) return Strategy::kTensorCores;
  return resident_shared_bytes(s.hidden) <= limits.shared_per_block ? Strategy::kResident : Strategy::kStepwise;
}

}  // namespace

Recurrence cudnn_algorithm(Recurrence asked, std::int64_t hidden) {
  constexpr std::int64_t kSmallHidden = 256;
  if (asked != Recurrence::kCudnn) return asked;
  return hidden <= kSmallHidden ? Recurrence::kCudnnPersistSmallHidden : Recurrence::kCudnnStandard;
}

const char* name_of_cudnn_algorithm(Recurrence algorithm) {
  switch (algorithm) {
    case Recurrence::kCudnnPersistStatic:
      return "persist static";
    case Recurrence::kCudnnPersistDynamic:
      return "persist dynamic";
    case Recurrence::kCudnnPersistSmallHidden:
      return "persist static, small H";
    default:
      return "standard";
  }
}

std::string describe_recurrence(const CudaContext& context, const Shape& shape, Nonlinearity nonlinearity) {
  switch (choose(context, shape, nonlinearity)) {
    case Strategy::kResident:
      return "float32, one launch for all steps, W_hh resident";
    case Strategy::kTensorCores:
      return "tensor cores, one launch for all steps, W_hh resident";
    case Strategy::kCluster:
      return "float32, one launch for all steps, W_hh resident in clusters of blocks, " +
             std::to_string(cluster_capacity(context, shape.hidden)) + " at once";
    case Strategy::kStepwise:
      return "float32, a product and a pointwise kernel each step";
    case Strategy::kCudnn:
      return std::string("cuDNN, ") + name_of_cudnn_algorithm(cudnn_algorithm(context.recurrence, shape.hidden));
  }
  return "";
}

void rnn_forward(CudaContext& context, const RnnForward<float>& args) {
  switch (choose(context, args.shape, args.nonlinearity)) {
    case Strategy::kResident:
      return rnn_forward_resident(context, args);
    case Strategy::kTensorCores:
      return rnn_forward_mixed(context, args);
    case Strategy::kCluster:
      return rnn_forward_cluster(context, args);
    case Strategy::kStepwise:
      return rnn_forward_stepwise(context, args);
    case Strategy::kCudnn:
      return rnn_forward_cudnn(context, args);
  }
}

void rnn_backward(CudaContext& context, const RnnBackward<float>& args) {
  switch (choose(context, args.shape, args.nonlinearity)) {
    case Strategy::kResident:
      rnn_backward_resident(context, args);
      break;
    case Strategy::kTensorCores:
      rnn_backward_mixed(context, args);
      break;
    case Strategy::kCluster:
      rnn_backward_cluster(context, args);
      break;
    case Strategy::kStepwise:
      rnn_backward_stepwise(context, args);
      break;
    case Strategy::kCudnn:
      rnn_backward_cudnn(context, args);
      break;
  }
  // The product over all B T steps is split by cuBLAS; adding it up inside the kernel would cost as many FMAs there.
  const auto [V, E, H, B, T] = args.shape;
  context.platform.product({.m = H,
                            .n = H,
                            .k = T * B,
                            .a = args.dz.data(),
                            .b = args.h.data(),
                            .c = args.d_w_hh.data(),
                            .a_transposed = true});
}

}  // namespace reel::cuda
