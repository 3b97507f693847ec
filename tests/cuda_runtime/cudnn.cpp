// cuDNN's functions for one recurrent layer, in plain loops. Weights lie in an order of their own, which only
// cudnnGetRNNWeightParams tells; the memory to work in is filled with NaN.
#include "tests/cuda_runtime/libraries.h"

#if __has_include(<cudnn.h>)
#include <cudnn.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <map>
#include <vector>

namespace reel::runtime {
namespace {

struct Handle {
  cudaStream_t stream = nullptr;
};
struct Layer {
  cudnnRNNAlgo_t algorithm = CUDNN_RNN_ALGO_STANDARD;
  bool tanh = true;
  std::size_t hidden = 0;
  int built_for = 0;  // batch rows, by cudnnBuildRNNDynamic
};
struct Sequence {
  std::size_t steps = 0, batch = 0;
};
struct Nothing {};

template <class Made, class Descriptor>
cudnnStatus_t create(Descriptor* descriptor) {
  auto* const made = new Made;
  if (!add_library_handle(made, "cuDNN handle or descriptor")) {
    delete made;
    return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
  }
  *descriptor = reinterpret_cast<Descriptor>(made);
  return CUDNN_STATUS_SUCCESS;
}

template <class Made, class Descriptor>
cudnnStatus_t destroy(Descriptor descriptor) {
  if (!remove_library_handle(descriptor)) return CUDNN_STATUS_BAD_PARAM;
  delete reinterpret_cast<Made*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

Layer& layer_of(cudnnRNNDescriptor_t descriptor) { return *reinterpret_cast<Layer*>(descriptor); }
Sequence& sequence_of(cudnnRNNDataDescriptor_t descriptor) { return *reinterpret_cast<Sequence*>(descriptor); }
cudaStream_t stream_of(cudnnHandle_t handle) { return reinterpret_cast<Handle*>(handle)->stream; }

cudnnStatus_t set_stream(cudnnHandle_t handle, cudaStream_t stream) {
  reinterpret_cast<Handle*>(handle)->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t set_tensor(cudnnTensorDescriptor_t, cudnnDataType_t, int, const int*, const int*) {
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t set_dropout(cudnnDropoutDescriptor_t, cudnnHandle_t, float dropout, void*, std::size_t,
                          unsigned long long) {
  return dropout == 0 ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t set_layer(cudnnRNNDescriptor_t descriptor, cudnnRNNAlgo_t algorithm, cudnnRNNMode_t mode,
                        cudnnRNNBiasMode_t bias, cudnnDirectionMode_t, cudnnRNNInputMode_t input, cudnnDataType_t,
                        cudnnDataType_t, cudnnMathType_t, std::int32_t input_size, std::int32_t hidden, std::int32_t,
                        std::int32_t layers, cudnnDropoutDescriptor_t, std::uint32_t) {
  constexpr std::int32_t kSmallHidden = 384;
  if (input != CUDNN_SKIP_INPUT || input_size != hidden || layers != 1) return CUDNN_STATUS_BAD_PARAM;
  if (bias != CUDNN_RNN_DOUBLE_BIAS && algorithm != CUDNN_RNN_ALGO_STANDARD) return CUDNN_STATUS_NOT_SUPPORTED;
  if (algorithm == CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H && hidden > kSmallHidden) return CUDNN_STATUS_NOT_SUPPORTED;
  layer_of(descriptor) = {algorithm, mode == CUDNN_RNN_TANH, static_cast<std::size_t>(hidden)};
  return CUDNN_STATUS_SUCCESS;
}

/// Only rows that are all as long as the sequence.
cudnnStatus_t set_sequence(cudnnRNNDataDescriptor_t descriptor, cudnnDataType_t, cudnnRNNDataLayout_t layout, int steps,
                           int batch, int, const int* lengths, void*) {
  if (layout != CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED) return CUDNN_STATUS_NOT_SUPPORTED;
  if (!std::all_of(lengths, lengths + batch, [&](int length) { return length == steps; }))
    return CUDNN_STATUS_BAD_PARAM;
  sequence_of(descriptor) = {static_cast<std::size_t>(steps), static_cast<std::size_t>(batch)};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t build_dynamic(cudnnHandle_t, cudnnRNNDescriptor_t descriptor, int batch) {
  layer_of(descriptor).built_for = batch;
  return CUDNN_STATUS_SUCCESS;
}

/// Input bias [H], recurrent bias [H], then the recurrent matrix [H, H].
constexpr std::size_t kBiases = 2;

cudnnStatus_t get_weight_size(cudnnHandle_t, cudnnRNNDescriptor_t descriptor, std::size_t* size) {
  const std::size_t hidden = layer_of(descriptor).hidden;
  *size = (kBiases + hidden) * hidden * sizeof(float);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t get_weights(cudnnHandle_t, cudnnRNNDescriptor_t descriptor, std::int32_t layer, std::size_t,
                          const void* space, std::int32_t matrix, cudnnTensorDescriptor_t, void** matrix_address,
                          cudnnTensorDescriptor_t, void** bias_address) {
  const std::size_t hidden = layer_of(descriptor).hidden;
  auto* const weights = static_cast<float*>(const_cast<void*>(space));
  if (layer != 0 || matrix < 0 || matrix > 1) return CUDNN_STATUS_BAD_PARAM;
  *matrix_address = matrix == 1 ? weights + kBiases * hidden : nullptr;
  *bias_address = weights + static_cast<std::size_t>(matrix) * hidden;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t get_temporary_sizes(cudnnHandle_t, cudnnRNNDescriptor_t descriptor, cudnnForwardMode_t,
                                  cudnnRNNDataDescriptor_t sequence, std::size_t* work, std::size_t* reserve) {
  const Sequence& s = sequence_of(sequence);
  *work = s.batch * layer_of(descriptor).hidden * sizeof(float);
  *reserve = s.steps * *work;
  return CUDNN_STATUS_SUCCESS;
}

/// What both passes are given, and what they compute with.
struct Pass {
  Layer layer;
  Sequence sequence;
  const float* weights;
  void* work;
  std::size_t work_size;

  std::size_t weights_size() const { return (kBiases + layer.hidden) * layer.hidden * sizeof(float); }
  std::size_t states_size() const { return sequence.batch * layer.hidden * sizeof(float); }

  const float* w_hh() const { return weights + kBiases * layer.hidden; }
  float bias(std::size_t unit) const { return weights[unit] + weights[layer.hidden + unit]; }
};

/// `sequences` are [T, B, H], `states` [B, H], on the device.
cudnnStatus_t run(cudnnHandle_t handle, const char* name, const Pass& pass,
                  std::initializer_list<const void*> sequences, const void* states, std::function<void()> compute) {
  bool good = is_device_memory(name, pass.weights, pass.weights_size()) &&
              is_device_memory(name, pass.work, pass.work_size) && is_device_memory(name, states, pass.states_size());
  for (const void* sequence : sequences) {
    good = good && is_device_memory(name, sequence, pass.sequence.steps * pass.states_size());
  }
  if (!good) return CUDNN_STATUS_BAD_PARAM;
  if (pass.layer.algorithm == CUDNN_RNN_ALGO_PERSIST_DYNAMIC &&
      pass.layer.built_for != static_cast<int>(pass.sequence.batch)) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  const cudaError_t error = launch_library(stream_of(handle), name, [pass, compute] {
    std::memset(pass.work, 0xFF, pass.work_size);
    compute();
  });
  return error == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

cudnnStatus_t forward(cudnnHandle_t handle, cudnnRNNDescriptor_t descriptor, cudnnForwardMode_t, const std::int32_t*,
                      cudnnRNNDataDescriptor_t x_descriptor, const void* x, cudnnRNNDataDescriptor_t, void* y,
                      cudnnTensorDescriptor_t, const void* hx, void*, cudnnTensorDescriptor_t, const void*, void*,
                      std::size_t, const void* weights, std::size_t work_size, void* work, std::size_t reserve_size,
                      void* reserve) {
  const Pass pass{layer_of(descriptor), sequence_of(x_descriptor), static_cast<const float*>(weights), work, work_size};
  return run(handle, "cudnnRNNForward", pass, {x, y, reserve}, hx, [=] {
    std::memset(reserve, 0xFF, reserve_size);
    const std::size_t B = pass.sequence.batch, T = pass.sequence.steps, H = pass.layer.hidden;
    const auto* const input = static_cast<const float*>(x);
    auto* const output = static_cast<float*>(y);
    for (std::size_t row = 0; row < T * B; ++row) {
      const float* const before = row < B ? static_cast<const float*>(hx) + row * H : output + (row - B) * H;
      for (std::size_t j = 0; j < H; ++j) {
        float z = input[row * H + j];
        for (std::size_t k = 0; k < H; ++k) z += pass.w_hh()[j * H + k] * before[k];
        z += pass.bias(j);
        output[row * H + j] = pass.layer.tanh ? std::tanh(z) : std::fmax(z, 0.0f);
      }
    }
  });
}

cudnnStatus_t backward(cudnnHandle_t handle, cudnnRNNDescriptor_t descriptor, const std::int32_t*,
                       cudnnRNNDataDescriptor_t y_descriptor, const void* y, const void* dy, cudnnRNNDataDescriptor_t,
                       void* dx, cudnnTensorDescriptor_t, const void*, const void*, void* dhx, cudnnTensorDescriptor_t,
                       const void*, const void*, void*, std::size_t, const void* weights, std::size_t work_size,
                       void* work, std::size_t, void*) {
  const Pass pass{layer_of(descriptor), sequence_of(y_descriptor), static_cast<const float*>(weights), work, work_size};
  return run(handle, "cudnnRNNBackwardData", pass, {y, dy, dx}, dhx, [=] {
    const std::size_t B = pass.sequence.batch, T = pass.sequence.steps, H = pass.layer.hidden;
    std::vector<float> d_h(B * H, 0.0f);  // of h[t+1], by what follows
    for (std::size_t t = T; t-- > 0;) {
      const float* const h = static_cast<const float*>(y) + t * B * H;
      const float* const d_y = static_cast<const float*>(dy) + t * B * H;
      float* const d_z = static_cast<float*>(dx) + t * B * H;
      for (std::size_t i = 0; i < B * H; ++i) {
        const float slope = pass.layer.tanh ? 1 - h[i] * h[i] : (h[i] > 0 ? 1.0f : 0.0f);
        d_z[i] = (d_h[i] + d_y[i]) * slope;
      }
      for (std::size_t i = 0; i < B * H; ++i) {
        float sum = 0;
        for (std::size_t j = 0; j < H; ++j) sum += d_z[i / H * H + j] * pass.w_hh()[j * H + i % H];
        d_h[i] = sum;
      }
    }
    std::copy(d_h.begin(), d_h.end(), static_cast<float*>(dhx));
  });
}

const char* error_string(cudnnStatus_t status) {
  return status == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS of the stand-in";
}
void last_error_string(char* text, std::size_t size) { std::snprintf(text, size, "%s", ""); }

template <class Function>
void* as_symbol(Function* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

void* cudnn_function(const std::string& name) {
  static const std::map<std::string, void*> functions = {
      {"GetErrorString", as_symbol(error_string)},
      {"GetLastErrorString", as_symbol(last_error_string)},
      {"Create", as_symbol(create<Handle, cudnnHandle_t>)},
      {"Destroy", as_symbol(destroy<Handle, cudnnHandle_t>)},
      {"SetStream", as_symbol(set_stream)},
      {"CreateTensorDescriptor", as_symbol(create<Nothing, cudnnTensorDescriptor_t>)},
      {"DestroyTensorDescriptor", as_symbol(destroy<Nothing, cudnnTensorDescriptor_t>)},
      {"SetTensorNdDescriptor", as_symbol(set_tensor)},
      {"CreateDropoutDescriptor", as_symbol(create<Nothing, cudnnDropoutDescriptor_t>)},
      {"DestroyDropoutDescriptor", as_symbol(destroy<Nothing, cudnnDropoutDescriptor_t>)},
      {"SetDropoutDescriptor", as_symbol(set_dropout)},
      {"CreateRNNDescriptor", as_symbol(create<Layer, cudnnRNNDescriptor_t>)},
      {"DestroyRNNDescriptor", as_symbol(destroy<Layer, cudnnRNNDescriptor_t>)},
      {"SetRNNDescriptor_v8", as_symbol(set_layer)},
      {"CreateRNNDataDescriptor", as_symbol(create<Sequence, cudnnRNNDataDescriptor_t>)},
      {"DestroyRNNDataDescriptor", as_symbol(destroy<Sequence, cudnnRNNDataDescriptor_t>)},
      {"SetRNNDataDescriptor", as_symbol(set_sequence)},
      {"BuildRNNDynamic", as_symbol(build_dynamic)},
      {"GetRNNWeightSpaceSize", as_symbol(get_weight_size)},
      {"GetRNNWeightParams", as_symbol(get_weights)},
      {"GetRNNTempSpaceSizes", as_symbol(get_temporary_sizes)},
      {"RNNForward", as_symbol(forward)},
      {"RNNBackwardData_v8", as_symbol(backward)}};
  const std::size_t prefix = std::strlen("cudnn");
  const auto found = functions.find(name.size() > prefix ? name.substr(prefix) : name);
  return found == functions.end() ? nullptr : found->second;
}

}  // namespace reel::runtime

#else

namespace reel::runtime {
void* cudnn_function(const std::string&) { return nullptr; }
}  // namespace reel::runtime

#endif
