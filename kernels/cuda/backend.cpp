// The CUDA twin of the contract in kernels/backend.h. Plain C++: compiled for the device's platform and, in the tests,
// for the emulator's.
#include "kernels/backend.h"

#include "kernels/check.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/operations.h"
#include "kernels/shapes.h"

namespace reel::REEL_CUDA_BUILD {
namespace {

class CudaBackend final : public Backend<float> {
 public:
  explicit CudaBackend(Precision precision) : context_(precision) {}

  DeviceInfo info() const override {
    const DeviceLimits& limits = context_.platform.limits();
    return {DeviceKind::kCuda, limits.name,
            fmt::format("compute capability {}.{}", limits.capability / 10, limits.capability % 10),
            limits.multiprocessors};
  }
  std::string describe_recurrence(const Shape& shape, Nonlinearity nonlinearity) const override {
    return REEL_CUDA_BUILD::describe_recurrence(context_, shape, nonlinearity);
  }
  void synchronize() override { context_.platform.synchronize(); }

  void clear_index(const TokenIndex& index) override { REEL_CUDA_BUILD::clear_index(context_, index); }
  void select_rows(const SelectRows& args) override {
    check_arguments(args);
    REEL_CUDA_BUILD::select_rows(context_, args);
  }
  void index_tokens(const IndexTokens& args) override {
    check_arguments(args);
    REEL_CUDA_BUILD::index_tokens(context_, args);
  }
  void project_tokens(const ProjectTokens<float>& args) override {
    check_arguments(args);
    REEL_CUDA_BUILD::project_tokens(context_, args);
  }
  void rnn_forward(const RnnForward<float>& args) override {
    check_arguments(args);
    REEL_CUDA_BUILD::rnn_forward(context_, args);
  }
  void head_forward(const HeadForward<float>& args) override {
    check_arguments(args);
    REEL_CUDA_BUILD::head_forward(context_, args);
  }
  void head_backward(const HeadBackward<float>& args) override {
    check_arguments(args);
    REEL_CUDA_BUILD::head_backward(context_, args);
  }
  void rnn_backward(const RnnBackward<float>& args) override {
    check_arguments(args);
    REEL_CUDA_BUILD::rnn_backward(context_, args);
  }
  void embedding_gradient(const EmbeddingGradient<float>& args) override {
    check_arguments(args);
    REEL_CUDA_BUILD::embedding_gradient(context_, args);
  }
  void clip_gradient(const ClipGradient<float>& args) override {
    check_arguments(args);
    REEL_CUDA_BUILD::clip_gradient(context_, args);
  }
  void optimizer_step(const OptimizerStep<float>& args) override {
    check_arguments(args);
    REEL_CUDA_BUILD::optimizer_step(context_, args);
  }

 protected:
  void* allocate_bytes(std::size_t bytes) override { return context_.platform.allocate(bytes); }
  Buffer<char>::Deleter deleter() const override { return &Platform::release; }
  void copy_bytes(std::span<const std::byte> from, std::span<std::byte> to) override {
    REEL_CHECK(from.size() == to.size(), "copy of {} bytes to {}", from.size(), to.size());
    if (!from.empty()) context_.platform.copy(to.data(), from.data(), from.size());
  }

 private:
  CudaContext context_;
};

}  // namespace

std::unique_ptr<Backend<float>> make_cuda_backend(Precision precision) {
  return std::make_unique<CudaBackend>(precision);
}

}  // namespace reel::REEL_CUDA_BUILD
