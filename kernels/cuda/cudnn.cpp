// One unidirectional layer through cuDNN 9's RNN API:
//   https://docs.nvidia.com/deeplearning/cudnn/latest/api/cudnn-adv-library.html
//
// The input is taken as it is (CUDNN_SKIP_INPUT) and holds the bias already; cuDNN's own two biases, without which only
// its standard algorithm runs, stay 0.
#include "kernels/cuda/cudnn.h"

#include "kernels/cuda/platform.h"
#include "kernels/cuda/shared_library.h"
#include "kernels/error.h"

#if __has_include(<cudnn.h>)
#include <cudnn.h>

#include <array>
#include <map>
#include <tuple>
#include <vector>

namespace reel::cuda {
namespace {

struct Functions {
  SharedLibrary library{"cuDNN", "libcudnn.so." + std::to_string(CUDNN_MAJOR)};
#define REEL_CUDNN_FUNCTION(name) decltype(&cudnn##name) name = library.find<decltype(&cudnn##name)>("cudnn" #name)
  REEL_CUDNN_FUNCTION(GetErrorString);
  REEL_CUDNN_FUNCTION(GetLastErrorString);
  REEL_CUDNN_FUNCTION(Create);
  REEL_CUDNN_FUNCTION(Destroy);
  REEL_CUDNN_FUNCTION(SetStream);
  REEL_CUDNN_FUNCTION(CreateTensorDescriptor);
  REEL_CUDNN_FUNCTION(DestroyTensorDescriptor);
  REEL_CUDNN_FUNCTION(SetTensorNdDescriptor);
  REEL_CUDNN_FUNCTION(CreateDropoutDescriptor);
  REEL_CUDNN_FUNCTION(DestroyDropoutDescriptor);
  REEL_CUDNN_FUNCTION(SetDropoutDescriptor);
  REEL_CUDNN_FUNCTION(CreateRNNDescriptor);
  REEL_CUDNN_FUNCTION(DestroyRNNDescriptor);
  REEL_CUDNN_FUNCTION(SetRNNDescriptor_v8);
  REEL_CUDNN_FUNCTION(CreateRNNDataDescriptor);
  REEL_CUDNN_FUNCTION(DestroyRNNDataDescriptor);
  REEL_CUDNN_FUNCTION(SetRNNDataDescriptor);
  REEL_CUDNN_FUNCTION(BuildRNNDynamic);
  REEL_CUDNN_FUNCTION(GetRNNWeightSpaceSize);
  REEL_CUDNN_FUNCTION(GetRNNWeightParams);
  REEL_CUDNN_FUNCTION(GetRNNTempSpaceSizes);
  REEL_CUDNN_FUNCTION(RNNForward);
  REEL_CUDNN_FUNCTION(RNNBackwardData_v8);
#undef REEL_CUDNN_FUNCTION
};

/// Made by one function of cuDNN, destroyed by another.
template <class Handle>
class Descriptor {
 public:
  using Function = cudnnStatus_t (*)(Handle);
  explicit Descriptor(Function destroy) : destroy_(destroy) {}
  ~Descriptor() {
    if (handle_ != nullptr) destroy_(handle_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Handle* operator&() { return &handle_; }
  operator Handle() const { return handle_; }

 private:
  Handle handle_ = nullptr;
  Function destroy_;
};

cudnnRNNMode_t mode_of(Cell cell) {
  switch (cell) {
    case Cell::kTanh:
      return CUDNN_RNN_TANH;
    case Cell::kRelu:
      return CUDNN_RNN_RELU;
    case Cell::kGru:
    case Cell::kLstm:
      break;  // would have to project their input themselves
  }
  throw Error("--recurrence cudnn: does not have this cell");
}

/// What cuDNN wants to know of one shape, and the memory it works in.
struct Plan {
  explicit Plan(const Functions& f)
      : dropout(f.DestroyDropoutDescriptor),
        rnn(f.DestroyRNNDescriptor),
        sequence(f.DestroyRNNDataDescriptor),
        state(f.DestroyTensorDescriptor) {}

  Descriptor<cudnnDropoutDescriptor_t> dropout;
  Descriptor<cudnnRNNDescriptor_t> rnn;
  Descriptor<cudnnRNNDataDescriptor_t> sequence;  // x and y: [T, B, H]
  Descriptor<cudnnTensorDescriptor_t> state;      // [1, B, H]
  std::unique_ptr<DeviceMemory> weights, work, reserve;
  void* w_hh = nullptr;  // inside `weights`
};

}  // namespace

struct Cudnn::Parts {
  Functions f;
  Platform& platform;
  Recurrence recurrence;
  cudnnMathType_t math;
  Descriptor<cudnnHandle_t> handle{f.Destroy};
  /// B, T, H, and where the states are: what the forward pass keeps is a layer's own.
  using Key = std::tuple<Cell, std::int64_t, std::int64_t, std::int64_t, const float*>;
  std::map<Key, std::unique_ptr<Plan>> plans;

  Parts(Platform& used, Recurrence chosen, Precision precision)
      : platform(used),
        recurrence(chosen),
        math(precision == Precision::kMixed ? CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION : CUDNN_FMA_MATH) {
    check(f.Create(&handle), "cudnnCreate", 0);
    check(f.SetStream(handle, platform.stream()), "cudnnSetStream", 0);
  }

  cudnnRNNAlgo_t algorithm(std::int64_t hidden) const {
    switch (cudnn_algorithm(recurrence, hidden)) {
      case Recurrence::kCudnnPersistStatic:
        return CUDNN_RNN_ALGO_PERSIST_STATIC;
      case Recurrence::kCudnnPersistDynamic:
        return CUDNN_RNN_ALGO_PERSIST_DYNAMIC;
      case Recurrence::kCudnnPersistSmallHidden:
        return CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H;
      default:
        return CUDNN_RNN_ALGO_STANDARD;
    }
  }

  void check(cudnnStatus_t status, const char* what, std::int64_t hidden) const {
    if (status == CUDNN_STATUS_SUCCESS) return;
    std::array<char, 512> details{};
    f.GetLastErrorString(details.data(), details.size());
    std::string text = std::string("--recurrence cudnn: ") + what + ": " + f.GetErrorString(status);
    if (hidden > 0)
      text += std::string(" (algorithm ") + name_of_cudnn_algorithm(cudnn_algorithm(recurrence, hidden)) + ", H " +
              std::to_string(hidden) + ")";
    if (details[0] != '\0') text += std::string("; ") + details.data();
    for (char& c : text) {
      if (c == '\n') c = ' ';
    }
    throw Error(text);
  }

  Plan& plan(Cell cell, const SequenceShape& s, const float* h) {
    std::unique_ptr<Plan>& known = plans[{cell, s.batch, s.steps, s.hidden, h + s.batch * s.hidden}];
    if (!known) known = make_plan(cell, s);
    return *known;
  }

  std::unique_ptr<Plan> make_plan(Cell cell, const SequenceShape& s) const {
    const auto B = static_cast<int>(s.batch), T = static_cast<int>(s.steps), H = static_cast<int>(s.hidden);
    auto plan = std::make_unique<Plan>(f);
    check(f.CreateDropoutDescriptor(&plan->dropout), "cudnnCreateDropoutDescriptor", H);
    check(f.SetDropoutDescriptor(plan->dropout, handle, 0, nullptr, 0, 0), "cudnnSetDropoutDescriptor", H);
    check(f.CreateRNNDescriptor(&plan->rnn), "cudnnCreateRNNDescriptor", H);
    check(f.SetRNNDescriptor_v8(plan->rnn, algorithm(H), mode_of(cell), CUDNN_RNN_DOUBLE_BIAS, CUDNN_UNIDIRECTIONAL,
                                CUDNN_SKIP_INPUT, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, math, H, H, H, 1, plan->dropout,
                                CUDNN_RNN_PADDED_IO_ENABLED),
          "cudnnSetRNNDescriptor", H);
    check(f.CreateRNNDataDescriptor(&plan->sequence), "cudnnCreateRNNDataDescriptor", H);
    const std::vector<int> lengths(static_cast<std::size_t>(B), T);
    float padding = 0;
    check(f.SetRNNDataDescriptor(plan->sequence, CUDNN_DATA_FLOAT, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED, T, B, H,
                                 lengths.data(), &padding),
          "cudnnSetRNNDataDescriptor", H);
    check(f.CreateTensorDescriptor(&plan->state), "cudnnCreateTensorDescriptor", H);
    const std::array<int, 3> sizes{1, B, H}, strides{B * H, H, 1};
    check(f.SetTensorNdDescriptor(plan->state, CUDNN_DATA_FLOAT, 3, sizes.data(), strides.data()),
          "cudnnSetTensorNdDescriptor", H);
    if (algorithm(H) == CUDNN_RNN_ALGO_PERSIST_DYNAMIC) {
      check(f.BuildRNNDynamic(handle, plan->rnn, B), "cudnnBuildRNNDynamic", H);
    }
    std::size_t weights = 0, work = 0, reserve = 0;
    check(f.GetRNNWeightSpaceSize(handle, plan->rnn, &weights), "cudnnGetRNNWeightSpaceSize", H);
    check(f.GetRNNTempSpaceSizes(handle, plan->rnn, CUDNN_FWD_MODE_TRAINING, plan->sequence, &work, &reserve),
          "cudnnGetRNNTempSpaceSizes", H);
    plan->weights = std::make_unique<DeviceMemory>(weights);
    platform.clear(plan->weights->data(), weights);
    plan->work = std::make_unique<DeviceMemory>(work);
    plan->reserve = std::make_unique<DeviceMemory>(reserve);
    find_recurrent_matrix(*plan, H);
    return plan;
  }

  void find_recurrent_matrix(Plan& plan, std::int64_t hidden) const {
    Descriptor<cudnnTensorDescriptor_t> matrix(f.DestroyTensorDescriptor), bias(f.DestroyTensorDescriptor);
    check(f.CreateTensorDescriptor(&matrix), "cudnnCreateTensorDescriptor", hidden);
    check(f.CreateTensorDescriptor(&bias), "cudnnCreateTensorDescriptor", hidden);
    constexpr int kLayer = 0, kRecurrentMatrix = 1;
    void* bias_address = nullptr;
    check(f.GetRNNWeightParams(handle, plan.rnn, kLayer, plan.weights->size(), plan.weights->data(), kRecurrentMatrix,
                               matrix, &plan.w_hh, bias, &bias_address),
          "cudnnGetRNNWeightParams", hidden);
    if (plan.w_hh == nullptr) throw Error("--recurrence cudnn: cuDNN has no memory for the recurrent matrix");
  }

  void set_weights(const Plan& plan, const float* w_hh, std::int64_t hidden) {
    platform.copy(plan.w_hh, w_hh, static_cast<std::size_t>(hidden * hidden) * sizeof(float));
  }
};

Cudnn::Cudnn(Platform& platform, Recurrence recurrence, Precision precision)
    : parts_(std::make_unique<Parts>(platform, recurrence, precision)) {}
Cudnn::~Cudnn() = default;

void Cudnn::forward(Cell cell, const SequenceShape& shape, const float* x, const float* w_hh, float* h) {
  const Plan& plan = parts_->plan(cell, shape, h);
  parts_->set_weights(plan, w_hh, shape.hidden);
  parts_->check(parts_->f.RNNForward(parts_->handle, plan.rnn, CUDNN_FWD_MODE_TRAINING, nullptr, plan.sequence, x,
                                     plan.sequence, h + shape.batch * shape.hidden, plan.state, h, nullptr, nullptr,
                                     nullptr, nullptr, plan.weights->size(), plan.weights->data(), plan.work->size(),
                                     plan.work->data(), plan.reserve->size(), plan.reserve->data()),
                "cudnnRNNForward", shape.hidden);
}

void Cudnn::backward(Cell cell, const SequenceShape& shape, const float* w_hh, const float* h, const float* d_y,
                     float* dx, float* d_h0) {
  const Plan& plan = parts_->plan(cell, shape, h);
  parts_->set_weights(plan, w_hh, shape.hidden);
  parts_->check(
      parts_->f.RNNBackwardData_v8(parts_->handle, plan.rnn, nullptr, plan.sequence, h + shape.batch * shape.hidden,
                                   d_y, plan.sequence, dx, plan.state, h, nullptr, d_h0, nullptr, nullptr, nullptr,
                                   nullptr, plan.weights->size(), plan.weights->data(), plan.work->size(),
                                   plan.work->data(), plan.reserve->size(), plan.reserve->data()),
      "cudnnRNNBackwardData", shape.hidden);
}

}  // namespace reel::cuda

#else

namespace reel::cuda {

struct Cudnn::Parts {};

Cudnn::Cudnn(Platform&, Recurrence, Precision) {
  throw Error("--recurrence cudnn: built without cuDNN; --recurrence reel works without");
}
Cudnn::~Cudnn() = default;
void Cudnn::forward(Cell, const SequenceShape&, const float*, const float*, float*) {}
void Cudnn::backward(Cell, const SequenceShape&, const float*, const float*, const float*, float*, float*) {}

}  // namespace reel::cuda

#endif
