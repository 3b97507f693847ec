// One unidirectional layer through cuDNN 9's RNN API:
//   https://docs.nvidia.com/deeplearning/cudnn/latest/api/cudnn-adv-library.html
//
// Input that is projected is taken as it is (CUDNN_SKIP_INPUT) and holds the bias already; cuDNN's own two biases,
// without which only its standard algorithm runs, stay 0. Cells of several gates, for which there is no such input,
// have theirs projected by cuDNN (CUDNN_LINEAR_INPUT).
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
  REEL_CUDNN_FUNCTION(RNNBackwardWeights_v8);
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
      return CUDNN_GRU;
    case Cell::kLstm:
      return CUDNN_LSTM;
  }
  throw Error("--recurrence cudnn: does not have this cell");
}

/// What cuDNN wants to know of one layer and shape, and the memory it works in.
struct Plan {
  explicit Plan(const Functions& f)
      : dropout(f.DestroyDropoutDescriptor),
        rnn(f.DestroyRNNDescriptor),
        inputs(f.DestroyRNNDataDescriptor),
        outputs(f.DestroyRNNDataDescriptor),
        state(f.DestroyTensorDescriptor) {}

  Descriptor<cudnnDropoutDescriptor_t> dropout;
  Descriptor<cudnnRNNDescriptor_t> rnn;
  Descriptor<cudnnRNNDataDescriptor_t> inputs, outputs;  // [T, B, W], [T, B, H]
  Descriptor<cudnnTensorDescriptor_t> state;             // [1, B, H]
  std::unique_ptr<DeviceMemory> weights, work, reserve;
  std::unique_ptr<DeviceMemory> d_weights, x;  // where cuDNN projects the input
  CudnnParameters parameters{}, gradients{};   // inside `weights` and `d_weights`
};

}  // namespace

struct Cudnn::Parts {
  Functions f;
  Platform& platform;
  Recurrence recurrence;
  cudnnMathType_t math;
  Descriptor<cudnnHandle_t> handle{f.Destroy};
  /// B, T, H, E, and where the states are: what the forward pass keeps is a layer's own.
  using Key = std::tuple<Cell, std::int64_t, std::int64_t, std::int64_t, std::int64_t, const float*>;
  std::map<Key, std::unique_ptr<Plan>> plans;

  Parts(Platform& used, Recurrence chosen, Precision precision)
      : platform(used),
        recurrence(chosen),
        math(precision == Precision::kMixed ? CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION : CUDNN_FMA_MATH) {
    check(f.Create(&handle), "cudnnCreate");
    check(f.SetStream(handle, platform.stream()), "cudnnSetStream");
  }

  cudnnRNNAlgo_t algorithm(const CudnnLayer& layer) const {
    switch (cudnn_algorithm(recurrence, layer.cell, layer.shape.hidden)) {
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

  void check(cudnnStatus_t status, const char* what, const CudnnLayer* layer = nullptr) const {
    if (status == CUDNN_STATUS_SUCCESS) return;
    std::array<char, 512> details{};
    f.GetLastErrorString(details.data(), details.size());
    std::string text = std::string("--recurrence cudnn: ") + what + ": " + f.GetErrorString(status);
    if (layer != nullptr) {
      const std::int64_t hidden = layer->shape.hidden;
      text += std::string(" (algorithm ") + name_of_cudnn_algorithm(cudnn_algorithm(recurrence, layer->cell, hidden)) +
              ", H " + std::to_string(hidden) + ")";
    }
    if (details[0] != '\0') text += std::string("; ") + details.data();
    for (char& c : text) {
      if (c == '\n') c = ' ';
    }
    throw Error(text);
  }

  Plan& plan(const CudnnLayer& layer) {
    const SequenceShape& s = layer.shape;
    std::unique_ptr<Plan>& known =
        plans[{layer.cell, s.batch, s.steps, s.hidden, layer.embedding, layer.h + s.batch * s.hidden}];
    if (!known) known = make_plan(layer);
    return *known;
  }

  std::unique_ptr<Plan> make_plan(const CudnnLayer& layer) const {
    const auto B = static_cast<int>(layer.shape.batch), T = static_cast<int>(layer.shape.steps),
               H = static_cast<int>(layer.shape.hidden), W = static_cast<int>(layer.input_width());
    const bool projects = layer.embedding > 0;
    auto plan = std::make_unique<Plan>(f);
    check(f.CreateDropoutDescriptor(&plan->dropout), "cudnnCreateDropoutDescriptor", &layer);
    check(f.SetDropoutDescriptor(plan->dropout, handle, 0, nullptr, 0, 0), "cudnnSetDropoutDescriptor", &layer);
    check(f.CreateRNNDescriptor(&plan->rnn), "cudnnCreateRNNDescriptor", &layer);
    check(
        f.SetRNNDescriptor_v8(plan->rnn, algorithm(layer), mode_of(layer.cell), CUDNN_RNN_DOUBLE_BIAS,
                              CUDNN_UNIDIRECTIONAL, projects ? CUDNN_LINEAR_INPUT : CUDNN_SKIP_INPUT, CUDNN_DATA_FLOAT,
                              CUDNN_DATA_FLOAT, math, W, H, H, 1, plan->dropout, CUDNN_RNN_PADDED_IO_ENABLED),
        "cudnnSetRNNDescriptor", &layer);
    const std::vector<int> lengths(static_cast<std::size_t>(B), T);
    float padding = 0;
    for (const auto& [sequence, width] : {std::pair(&plan->inputs, W), {&plan->outputs, H}}) {
      check(f.CreateRNNDataDescriptor(sequence), "cudnnCreateRNNDataDescriptor", &layer);
      check(f.SetRNNDataDescriptor(*sequence, CUDNN_DATA_FLOAT, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED, T, B, width,
                                   lengths.data(), &padding),
            "cudnnSetRNNDataDescriptor", &layer);
    }
    check(f.CreateTensorDescriptor(&plan->state), "cudnnCreateTensorDescriptor", &layer);
    const std::array<int, 3> sizes{1, B, H}, strides{B * H, H, 1};
    check(f.SetTensorNdDescriptor(plan->state, CUDNN_DATA_FLOAT, 3, sizes.data(), strides.data()),
          "cudnnSetTensorNdDescriptor", &layer);
    if (algorithm(layer) == CUDNN_RNN_ALGO_PERSIST_DYNAMIC) {
      check(f.BuildRNNDynamic(handle, plan->rnn, B), "cudnnBuildRNNDynamic", &layer);
    }
    std::size_t weights = 0, work = 0, reserve = 0;
    check(f.GetRNNWeightSpaceSize(handle, plan->rnn, &weights), "cudnnGetRNNWeightSpaceSize", &layer);
    check(f.GetRNNTempSpaceSizes(handle, plan->rnn, CUDNN_FWD_MODE_TRAINING, plan->inputs, &work, &reserve),
          "cudnnGetRNNTempSpaceSizes", &layer);
    plan->weights = std::make_unique<DeviceMemory>(weights);
    platform.clear(plan->weights->data(), weights);
    plan->work = std::make_unique<DeviceMemory>(work);
    plan->reserve = std::make_unique<DeviceMemory>(reserve);
    plan->parameters = find_parameters(*plan, layer, *plan->weights);
    if (!projects) return plan;
    plan->d_weights = std::make_unique<DeviceMemory>(weights);
    plan->gradients = find_parameters(*plan, layer, *plan->d_weights);
    plan->x = std::make_unique<DeviceMemory>(sizeof(float) * static_cast<std::size_t>(layer.shape.batch) *
                                             static_cast<std::size_t>(layer.shape.steps) * static_cast<std::size_t>(W));
    return plan;
  }

  /// cuDNN numbers the gates of the input first, then those of the state: RNN 0 | 1; GRU r, z, n 0-2 | 3-5; LSTM i, f,
  /// g, o 0-3 | 4-7, which is PyTorch's order.
  CudnnParameters find_parameters(const Plan& plan, const CudnnLayer& layer, const DeviceMemory& weights) const {
    Descriptor<cudnnTensorDescriptor_t> matrix_shape(f.DestroyTensorDescriptor), bias_shape(f.DestroyTensorDescriptor);
    check(f.CreateTensorDescriptor(&matrix_shape), "cudnnCreateTensorDescriptor", &layer);
    check(f.CreateTensorDescriptor(&bias_shape), "cudnnCreateTensorDescriptor", &layer);
    CudnnParameters found{};
    const int gates = traits(layer.cell).gates;
    for (int number = 0; number < 2 * gates; ++number) {
      void *matrix = nullptr, *bias = nullptr;
      constexpr int kLayer = 0;
      check(f.GetRNNWeightParams(handle, plan.rnn, kLayer, weights.size(), weights.data(), number, matrix_shape,
                                 &matrix, bias_shape, &bias),
            "cudnnGetRNNWeightParams", &layer);
      CudnnParameters::Gate& gate = found.gates[static_cast<std::size_t>(number % gates)];
      const bool input = number < gates;
      (input ? gate.w_ih : gate.w_hh) = static_cast<float*>(matrix);
      (input ? gate.b_ih : gate.b_hh) = static_cast<float*>(bias);
      if (matrix == nullptr && (!input || layer.embedding > 0)) {
        throw Error("--recurrence cudnn: cuDNN has no memory for matrix " + std::to_string(number));
      }
    }
    return found;
  }
};

Cudnn::Cudnn(Platform& platform, Recurrence recurrence, Precision precision)
    : parts_(std::make_unique<Parts>(platform, recurrence, precision)) {}
Cudnn::~Cudnn() = default;

const CudnnParameters& Cudnn::parameters(const CudnnLayer& layer) { return parts_->plan(layer).parameters; }
const CudnnParameters& Cudnn::gradients(const CudnnLayer& layer) { return parts_->plan(layer).gradients; }
float* Cudnn::input(const CudnnLayer& layer) { return static_cast<float*>(parts_->plan(layer).x->data()); }

void Cudnn::forward(const CudnnLayer& layer, const float* x, float* y, const float* initial_c, float* final_c) {
  const Plan& plan = parts_->plan(layer);
  parts_->check(parts_->f.RNNForward(parts_->handle, plan.rnn, CUDNN_FWD_MODE_TRAINING, nullptr, plan.inputs, x,
                                     plan.outputs, y, plan.state, layer.h, nullptr, plan.state, initial_c, final_c,
                                     plan.weights->size(), plan.weights->data(), plan.work->size(), plan.work->data(),
                                     plan.reserve->size(), plan.reserve->data()),
                "cudnnRNNForward", &layer);
}

void Cudnn::backward(const CudnnLayer& layer, const float* initial_c, const float* d_y, float* dx, float* d_h0,
                     float* d_c0) {
  const Plan& plan = parts_->plan(layer);
  const float* const y = layer.h + layer.shape.batch * layer.shape.hidden;
  parts_->check(parts_->f.RNNBackwardData_v8(parts_->handle, plan.rnn, nullptr, plan.outputs, y, d_y, plan.inputs, dx,
                                             plan.state, layer.h, nullptr, d_h0, plan.state, initial_c, nullptr, d_c0,
                                             plan.weights->size(), plan.weights->data(), plan.work->size(),
                                             plan.work->data(), plan.reserve->size(), plan.reserve->data()),
                "cudnnRNNBackwardData", &layer);
}

void Cudnn::backward_parameters(const CudnnLayer& layer, const float* x) {
  const Plan& plan = parts_->plan(layer);
  const float* const y = layer.h + layer.shape.batch * layer.shape.hidden;
  // Its RNNs know no mode but that of adding to what stands there.
  parts_->platform.clear(plan.d_weights->data(), plan.d_weights->size());
  parts_->check(parts_->f.RNNBackwardWeights_v8(parts_->handle, plan.rnn, CUDNN_WGRAD_MODE_ADD, nullptr, plan.inputs, x,
                                                plan.state, layer.h, plan.outputs, y, plan.d_weights->size(),
                                                plan.d_weights->data(), plan.work->size(), plan.work->data(),
                                                plan.reserve->size(), plan.reserve->data()),
                "cudnnRNNBackwardWeights", &layer);
}

}  // namespace reel::cuda

#else

namespace reel::cuda {

struct Cudnn::Parts {};

Cudnn::Cudnn(Platform&, Recurrence, Precision) {
  throw Error("--recurrence cudnn: built without cuDNN; --recurrence reel works without");
}
Cudnn::~Cudnn() = default;
// Nothing is called of one that cannot be made.
const CudnnParameters& Cudnn::parameters(const CudnnLayer& layer) { return gradients(layer); }
const CudnnParameters& Cudnn::gradients(const CudnnLayer&) {
  static const CudnnParameters kNone{};
  return kNone;
}
float* Cudnn::input(const CudnnLayer&) { return nullptr; }
void Cudnn::forward(const CudnnLayer&, const float*, float*, const float*, float*) {}
void Cudnn::backward(const CudnnLayer&, const float*, const float*, float*, float*, float*) {}
void Cudnn::backward_parameters(const CudnnLayer&, const float*) {}

}  // namespace reel::cuda

#endif
