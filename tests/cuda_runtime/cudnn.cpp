// cuDNN's functions for one recurrent layer, in plain loops. Weights lie in an order of their own, which only
// cudnnGetRNNWeightParams tells; the memory to work in is filled with NaN, and what the forward pass keeps is gone
// after the way back.
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
  cudnnRNNMode_t mode = CUDNN_RNN_TANH;
  bool projects = false;  // CUDNN_LINEAR_INPUT
  std::size_t input = 0, hidden = 0;
  int built_for = 0;  // batch rows, by cudnnBuildRNNDynamic

  std::size_t gates() const { return mode == CUDNN_LSTM ? 4 : mode == CUDNN_GRU ? 3 : 1; }
  /// Of [H] each that a step keeps of a row: its gates, and c of LSTM or U_n h + b of GRU.
  std::size_t kept() const { return gates() > 1 ? gates() + 1 : 1; }

  // Biases from the last gate to the first, those of the state before those of the input; then matrices, likewise. In
  // floats, of the gate `number` as cudnnGetRNNWeightParams counts them.
  std::size_t bias_at(std::size_t number) const { return (2 * gates() - 1 - number) * hidden; }
  std::size_t matrix_at(std::size_t number) const {
    const std::size_t G = gates(), recurrent = 2 * G * hidden, own = recurrent + G * hidden * hidden;
    return number >= G ? recurrent + (2 * G - 1 - number) * hidden * hidden : own + (G - 1 - number) * hidden * input;
  }
  std::size_t parameters() const { return (2 + hidden + (projects ? input : 0)) * gates() * hidden; }
};
struct Sequence {
  std::size_t steps = 0, batch = 0, width = 0;
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

/// The widths of the small algorithm are those up to which PyTorch asks for it.
cudnnStatus_t set_layer(cudnnRNNDescriptor_t descriptor, cudnnRNNAlgo_t algorithm, cudnnRNNMode_t mode,
                        cudnnRNNBiasMode_t bias, cudnnDirectionMode_t, cudnnRNNInputMode_t input, cudnnDataType_t,
                        cudnnDataType_t, cudnnMathType_t, std::int32_t input_size, std::int32_t hidden,
                        std::int32_t projection, std::int32_t layers, cudnnDropoutDescriptor_t, std::uint32_t) {
  const bool gated = mode == CUDNN_LSTM || mode == CUDNN_GRU, projects = input == CUDNN_LINEAR_INPUT;
  const std::int32_t small = gated ? 192 : 384;
  if (hidden <= 0 || input_size <= 0 || projection != hidden || layers != 1) return CUDNN_STATUS_BAD_PARAM;
  if (!projects && input_size != hidden) return CUDNN_STATUS_BAD_PARAM;
  if (!projects && gated) return CUDNN_STATUS_NOT_SUPPORTED;  // by this one
  if (bias != CUDNN_RNN_DOUBLE_BIAS && algorithm != CUDNN_RNN_ALGO_STANDARD) return CUDNN_STATUS_NOT_SUPPORTED;
  if (algorithm == CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H && hidden > small) return CUDNN_STATUS_NOT_SUPPORTED;
  layer_of(descriptor) = {algorithm, mode, projects, static_cast<std::size_t>(input_size),
                          static_cast<std::size_t>(hidden)};
  return CUDNN_STATUS_SUCCESS;
}

/// Only rows that are all as long as the sequence.
cudnnStatus_t set_sequence(cudnnRNNDataDescriptor_t descriptor, cudnnDataType_t, cudnnRNNDataLayout_t layout, int steps,
                           int batch, int width, const int* lengths, void*) {
  if (layout != CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED) return CUDNN_STATUS_NOT_SUPPORTED;
  if (!std::all_of(lengths, lengths + batch, [&](int length) { return length == steps; }))
    return CUDNN_STATUS_BAD_PARAM;
  sequence_of(descriptor) = {static_cast<std::size_t>(steps), static_cast<std::size_t>(batch),
                             static_cast<std::size_t>(width)};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t build_dynamic(cudnnHandle_t, cudnnRNNDescriptor_t descriptor, int batch) {
  layer_of(descriptor).built_for = batch;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t get_weight_size(cudnnHandle_t, cudnnRNNDescriptor_t descriptor, std::size_t* size) {
  *size = layer_of(descriptor).parameters() * sizeof(float);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t get_weights(cudnnHandle_t, cudnnRNNDescriptor_t descriptor, std::int32_t pseudo_layer, std::size_t size,
                          const void* space, std::int32_t matrix, cudnnTensorDescriptor_t, void** matrix_address,
                          cudnnTensorDescriptor_t, void** bias_address) {
  const Layer& layer = layer_of(descriptor);
  auto* const weights = static_cast<float*>(const_cast<void*>(space));
  const auto number = static_cast<std::size_t>(matrix);
  if (pseudo_layer != 0 || matrix < 0 || number >= 2 * layer.gates()) return CUDNN_STATUS_BAD_PARAM;
  if (size != layer.parameters() * sizeof(float)) return CUDNN_STATUS_BAD_PARAM;
  const bool has_matrix = layer.projects || number >= layer.gates();
  *matrix_address = has_matrix ? weights + layer.matrix_at(number) : nullptr;
  *bias_address = weights + layer.bias_at(number);
  return CUDNN_STATUS_SUCCESS;
}

std::size_t work_size_of(const Layer& layer, const Sequence& s) { return s.batch * layer.hidden * sizeof(float); }
std::size_t reserve_size_of(const Layer& layer, const Sequence& s) {
  return s.steps * layer.kept() * work_size_of(layer, s);
}

cudnnStatus_t get_temporary_sizes(cudnnHandle_t, cudnnRNNDescriptor_t descriptor, cudnnForwardMode_t,
                                  cudnnRNNDataDescriptor_t sequence, std::size_t* work, std::size_t* reserve) {
  *work = work_size_of(layer_of(descriptor), sequence_of(sequence));
  *reserve = reserve_size_of(layer_of(descriptor), sequence_of(sequence));
  return CUDNN_STATUS_SUCCESS;
}

/// Memory of the device that a pass is given; one that may be missing is null.
struct Given {
  const void* memory;
  std::size_t floats;
  bool optional = false;
};

/// What all passes are given, and what they compute with.
struct Pass {
  Layer layer;
  Sequence x, y;
  void* parameters;  // or their gradients
  std::size_t parameters_size;
  void* work;
  std::size_t work_size;
  void* reserve;
  std::size_t reserve_size;

  std::size_t steps() const { return x.steps; }
  std::size_t batch() const { return x.batch; }
  std::size_t rows() const { return x.steps * x.batch; }
  std::size_t states() const { return x.batch * layer.hidden; }

  float* matrix(std::size_t number) const { return static_cast<float*>(parameters) + layer.matrix_at(number); }
  float* bias(std::size_t number) const { return static_cast<float*>(parameters) + layer.bias_at(number); }
  /// [H] of what the forward pass keeps of a row, t * B + b.
  float* kept(std::size_t row, std::size_t block) const {
    return static_cast<float*>(reserve) + (row * layer.kept() + block) * layer.hidden;
  }
  bool has_good_sizes() const {
    return x.steps == y.steps && x.batch == y.batch && x.width == layer.input && y.width == layer.hidden &&
           parameters_size == layer.parameters() * sizeof(float) && work_size >= work_size_of(layer, x) &&
           reserve_size >= reserve_size_of(layer, x);
  }
};

cudnnStatus_t run(cudnnHandle_t handle, const char* name, const Pass& pass, std::initializer_list<Given> given,
                  std::function<void()> compute) {
  if (!pass.has_good_sizes()) return CUDNN_STATUS_BAD_PARAM;
  bool good = is_device_memory(name, pass.parameters, pass.parameters_size) &&
              is_device_memory(name, pass.work, pass.work_size) &&
              is_device_memory(name, pass.reserve, pass.reserve_size);
  for (const Given& one : given) {
    if (one.memory == nullptr && one.optional) continue;
    good = good && is_device_memory(name, one.memory, one.floats * sizeof(float));
  }
  if (!good) return CUDNN_STATUS_BAD_PARAM;
  if (pass.layer.algorithm == CUDNN_RNN_ALGO_PERSIST_DYNAMIC &&
      pass.layer.built_for != static_cast<int>(pass.batch())) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  const cudaError_t error = launch_library(stream_of(handle), name, [pass, compute] {
    std::memset(pass.work, 0xFF, pass.work_size);
    compute();
  });
  return error == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

/// A step of a row: h from that before it, and what the way back needs into the reserve.
void step(const Pass& pass, std::size_t row, const float* x, const float* before, const float* c_before, float* h) {
  const std::size_t H = pass.layer.hidden, E = pass.layer.input, G = pass.layer.gates();
  for (std::size_t j = 0; j < H; ++j) {
    float of_input[4] = {}, of_state[4] = {};
    for (std::size_t g = 0; g < G; ++g) {
      if (!pass.layer.projects) of_input[g] = x[j];
      for (std::size_t e = 0; pass.layer.projects && e < E; ++e) of_input[g] += pass.matrix(g)[j * E + e] * x[e];
      for (std::size_t k = 0; k < H; ++k) of_state[g] += pass.matrix(G + g)[j * H + k] * before[k];
      of_input[g] += pass.bias(g)[j];
      of_state[g] += pass.bias(G + g)[j];
    }
    const auto z = [&](std::size_t g) { return of_input[g] + of_state[g]; };
    const auto keep = [&](std::size_t block, float value) { return pass.kept(row, block)[j] = value; };
    switch (pass.layer.mode) {
      case CUDNN_RNN_TANH:
        h[j] = keep(0, std::tanh(z(0)));
        break;
      case CUDNN_RNN_RELU:
        h[j] = keep(0, std::fmax(z(0), 0.0f));
        break;
      case CUDNN_GRU: {
        const float r = keep(0, sigmoid(z(0))), update = keep(1, sigmoid(z(1))), m = keep(3, of_state[2]);
        const float n = keep(2, std::tanh(of_input[2] + r * m));
        h[j] = (1 - update) * n + update * before[j];
        break;
      }
      case CUDNN_LSTM: {
        const float i = keep(0, sigmoid(z(0))), f = keep(1, sigmoid(z(1))), g = keep(2, std::tanh(z(2))),
                    o = keep(3, sigmoid(z(3)));
        h[j] = o * std::tanh(keep(4, f * (c_before == nullptr ? 0.0f : c_before[j]) + i * g));
        break;
      }
    }
  }
}

cudnnStatus_t forward(cudnnHandle_t handle, cudnnRNNDescriptor_t descriptor, cudnnForwardMode_t mode,
                      const std::int32_t*, cudnnRNNDataDescriptor_t x_descriptor, const void* x,
                      cudnnRNNDataDescriptor_t y_descriptor, void* y, cudnnTensorDescriptor_t, const void* hx, void*,
                      cudnnTensorDescriptor_t, const void* cx, void* cy, std::size_t weights_size, const void* weights,
                      std::size_t work_size, void* work, std::size_t reserve_size, void* reserve) {
  const Pass pass{layer_of(descriptor),
                  sequence_of(x_descriptor),
                  sequence_of(y_descriptor),
                  const_cast<void*>(weights),
                  weights_size,
                  work,
                  work_size,
                  reserve,
                  reserve_size};
  const bool lstm = pass.layer.mode == CUDNN_LSTM;
  if (mode != CUDNN_FWD_MODE_TRAINING || (!lstm && (cx != nullptr || cy != nullptr)) || (cx != nullptr && cx == cy)) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  const std::size_t B = pass.batch(), H = pass.layer.hidden, E = pass.layer.input;
  return run(handle, "cudnnRNNForward", pass,
             {{x, pass.rows() * E}, {y, pass.rows() * H}, {hx, B * H}, {cx, B * H, true}, {cy, B * H, true}}, [=] {
               std::memset(reserve, 0xFF, reserve_size);
               auto* const output = static_cast<float*>(y);
               for (std::size_t row = 0; row < pass.rows(); ++row) {
                 const auto* const c0 = static_cast<const float*>(cx);
                 const float* const before = row < B ? static_cast<const float*>(hx) + row * H : output + (row - B) * H;
                 const float* const c_before = !lstm           ? nullptr
                                               : row >= B      ? pass.kept(row - B, 4)
                                               : cx == nullptr ? nullptr
                                                               : c0 + row * H;
                 step(pass, row, static_cast<const float*>(x) + row * E, before, c_before, output + row * H);
               }
               for (std::size_t b = 0; cy != nullptr && b < B; ++b) {
                 std::copy_n(pass.kept(pass.rows() - B + b, 4), H, static_cast<float*>(cy) + b * H);
               }
             });
}

/// Gradients of unit j of a row's gates, in place of the gates: of LSTM and GRU as the reserve has them, of GRU's last
/// gate first by way of the input, then, instead of U_n h + b, by way of the state. Takes d_h, and leaves what of it
/// goes past the matrices.
float gate_gradients(const Pass& pass, std::size_t row, std::size_t j, float before, float c_before, float d_h,
                     float& d_c) {
  const auto kept = [&](std::size_t block) -> float& { return pass.kept(row, block)[j]; };
  const auto slope = [](float y) { return y * (1 - y); };
  switch (pass.layer.mode) {
    case CUDNN_RNN_TANH:
      kept(0) = d_h * (1 - kept(0) * kept(0));
      return 0;
    case CUDNN_RNN_RELU:
      kept(0) = kept(0) > 0 ? d_h : 0;
      return 0;
    case CUDNN_GRU: {
      const float r = kept(0), update = kept(1), n = kept(2), m = kept(3);
      const float d_n = d_h * (1 - update) * (1 - n * n);
      kept(0) = d_n * m * slope(r);
      kept(1) = d_h * (before - n) * slope(update);
      kept(2) = d_n;
      kept(3) = d_n * r;
      return d_h * update;
    }
    case CUDNN_LSTM: {
      const float i = kept(0), f = kept(1), g = kept(2), o = kept(3), squashed = std::tanh(kept(4));
      d_c += d_h * o * (1 - squashed * squashed);
      kept(0) = d_c * g * slope(i);
      kept(1) = d_c * c_before * slope(f);
      kept(2) = d_c * i * (1 - g * g);
      kept(3) = d_h * squashed * slope(o);
      d_c *= f;
      return 0;
    }
  }
  return 0;
}

/// Where the reserve has the gradient of a gate by way of the state.
std::size_t recurrent_block(const Layer& layer, std::size_t gate) {
  return layer.mode == CUDNN_GRU && gate == 2 ? 3 : gate;
}

/// Leaves gradients in the reserve, where the forward pass left gates: it cannot run twice.
cudnnStatus_t backward(cudnnHandle_t handle, cudnnRNNDescriptor_t descriptor, const std::int32_t*,
                       cudnnRNNDataDescriptor_t y_descriptor, const void* y, const void* dy,
                       cudnnRNNDataDescriptor_t x_descriptor, void* dx, cudnnTensorDescriptor_t, const void* hx,
                       const void* dhy, void* dhx, cudnnTensorDescriptor_t, const void* cx, const void* dcy, void* dcx,
                       std::size_t weights_size, const void* weights, std::size_t work_size, void* work,
                       std::size_t reserve_size, void* reserve) {
  const Pass pass{layer_of(descriptor),
                  sequence_of(x_descriptor),
                  sequence_of(y_descriptor),
                  const_cast<void*>(weights),
                  weights_size,
                  work,
                  work_size,
                  reserve,
                  reserve_size};
  const bool lstm = pass.layer.mode == CUDNN_LSTM;
  if (dhy != nullptr || dcy != nullptr || (lstm ? dcx == nullptr : cx != nullptr)) return CUDNN_STATUS_BAD_PARAM;
  const std::size_t B = pass.batch(), H = pass.layer.hidden, E = pass.layer.input, G = pass.layer.gates();
  return run(handle, "cudnnRNNBackwardData", pass,
             {{y, pass.rows() * H},
              {dy, pass.rows() * H},
              {dx, pass.rows() * E},
              {hx, B * H},
              {dhx, B * H},
              {cx, B * H, true},
              {dcx, B * H, !lstm}},
             [=] {
               std::vector<float> d_h(B * H, 0.0f), d_c(B * H, 0.0f);  // of h[t+1] and c[t+1], by what follows
               for (std::size_t row = pass.rows(); row-- > 0;) {
                 const std::size_t b = row % B;
                 const float* const before =
                     row < B ? static_cast<const float*>(hx) + b * H : static_cast<const float*>(y) + (row - B) * H;
                 std::vector<float> back(H);
                 for (std::size_t j = 0; j < H; ++j) {
                   const float c_before = !lstm           ? 0
                                          : row >= B      ? pass.kept(row - B, 4)[j]
                                          : cx == nullptr ? 0
                                                          : static_cast<const float*>(cx)[b * H + j];
                   back[j] =
                       gate_gradients(pass, row, j, before[j], c_before,
                                      d_h[b * H + j] + static_cast<const float*>(dy)[row * H + j], d_c[b * H + j]);
                 }
                 for (std::size_t g = 0; g < G; ++g) {
                   const float* const d_gate = pass.kept(row, recurrent_block(pass.layer, g));
                   for (std::size_t i = 0; i < H; ++i) {
                     for (std::size_t j = 0; j < H; ++j) back[i] += d_gate[j] * pass.matrix(G + g)[j * H + i];
                   }
                 }
                 std::copy(back.begin(), back.end(), d_h.begin() + static_cast<std::ptrdiff_t>(b * H));
                 float* const d_x = static_cast<float*>(dx) + row * E;
                 if (!pass.layer.projects) std::copy_n(pass.kept(row, 0), H, d_x);
                 for (std::size_t e = 0; pass.layer.projects && e < E; ++e) {
                   d_x[e] = 0;
                   for (std::size_t g = 0; g < G; ++g) {
                     for (std::size_t j = 0; j < H; ++j) d_x[e] += pass.kept(row, g)[j] * pass.matrix(g)[j * E + e];
                   }
                 }
               }
               std::copy(d_h.begin(), d_h.end(), static_cast<float*>(dhx));
               if (lstm) std::copy(d_c.begin(), d_c.end(), static_cast<float*>(dcx));
             });
}

/// Adds to what stands there; after backward(), whose gradients it reads.
cudnnStatus_t backward_weights(cudnnHandle_t handle, cudnnRNNDescriptor_t descriptor, cudnnWgradMode_t add,
                               const std::int32_t*, cudnnRNNDataDescriptor_t x_descriptor, const void* x,
                               cudnnTensorDescriptor_t, const void* hx, cudnnRNNDataDescriptor_t y_descriptor,
                               const void* y, std::size_t weights_size, void* d_weights, std::size_t work_size,
                               void* work, std::size_t reserve_size, void* reserve) {
  if (add != CUDNN_WGRAD_MODE_ADD) return CUDNN_STATUS_NOT_SUPPORTED;
  const Pass pass{layer_of(descriptor),
                  sequence_of(x_descriptor),
                  sequence_of(y_descriptor),
                  d_weights,
                  weights_size,
                  work,
                  work_size,
                  reserve,
                  reserve_size};
  const std::size_t B = pass.batch(), H = pass.layer.hidden, E = pass.layer.input, G = pass.layer.gates();
  return run(handle, "cudnnRNNBackwardWeights", pass, {{x, pass.rows() * E}, {y, pass.rows() * H}, {hx, B * H}}, [=] {
    for (std::size_t row = 0; row < pass.rows(); ++row) {
      const float* const input = static_cast<const float*>(x) + row * E;
      const float* const before =
          row < B ? static_cast<const float*>(hx) + row * H : static_cast<const float*>(y) + (row - B) * H;
      for (std::size_t g = 0; g < G; ++g) {
        const float* const d_input = pass.kept(row, g);
        const float* const d_state = pass.kept(row, recurrent_block(pass.layer, g));
        for (std::size_t j = 0; j < H; ++j) {
          pass.bias(g)[j] += d_input[j];
          pass.bias(G + g)[j] += d_state[j];
          for (std::size_t i = 0; i < H; ++i) pass.matrix(G + g)[j * H + i] += d_state[j] * before[i];
          for (std::size_t e = 0; pass.layer.projects && e < E; ++e) pass.matrix(g)[j * E + e] += d_input[j] * input[e];
        }
      }
    }
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
      {"RNNBackwardData_v8", as_symbol(backward)},
      {"RNNBackwardWeights_v8", as_symbol(backward_weights)}};
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
