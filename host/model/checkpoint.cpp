#include "host/model/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "host/files/limits.h"
#include "host/files/safetensors.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kStatsOfStep = 3;  // loss_sum, correct, grad_norm
constexpr const char *kFormat = "1", *kFormatKey = "reel_format", *kLayers = "layers", *kDirections = "directions";
const std::string kRecurrent = "rnn.", kWeightHh = "rnn.weight_hh", kBiasIh = "rnn.bias_ih", kBiasHh = "rnn.bias_hh";

/// Infinity is a number of an optimizer's sums: they may overflow while the weights do not.
template <class T>
void check_numbers(std::span<const T> values, const fs::path& path, const std::string& name, bool infinity = false) {
  if (std::ranges::all_of(values, [&](T v) { return std::isfinite(v) || (infinity && std::isinf(v)); })) return;
  fail("{}: '{}' holds what is no number", path.string(), name);
}

/// Of a parameter in files: a recurrent bias, which is the last gate's, stands there behind zeros for the others.
std::vector<std::int64_t> shape_in_file(const ModelConfig& config, const Parameter& parameter) {
  if (parameter.name.starts_with(kBiasHh)) return {traits(config.cell).gates * config.hidden};
  return parameter.shape;
}

/// What PyTorch adds to a bias of the input, "" of any other parameter.
std::string second_bias(const Parameter& parameter) {
  return parameter.name.starts_with(kBiasIh) ? kBiasHh + parameter.name.substr(kBiasIh.size()) : "";
}

/// Throws Error where `file` has a recurrent tensor that the model of `config` lacks: ignoring it would make another
/// network of the weights.
void check_layers(const SafetensorsFile& file, const fs::path& path, const ModelConfig& config) {
  std::set<std::string> known;
  for (const Parameter& parameter : ParameterLayout(config).parameters) {
    known.insert(parameter.name);
    known.insert(second_bias(parameter));
  }
  for (const auto& [name, tensor] : file.tensors()) {
    if (!name.starts_with(kRecurrent) || known.contains(name)) continue;
    fail("{}: unexpected tensor '{}', expected those of {} layer{} in {}", path.string(), name, config.layers,
         config.layers > 1 ? "s" : "", config.bidirectional ? "2 directions" : "1 direction");
  }
}

/// Copies the tensors of `file` into the flat buffer; every shape must be that of the layout.
void copy_weights(const SafetensorsFile& file, const fs::path& path, const ModelConfig& config,
                  std::span<float> parameters) {
  const auto own = static_cast<std::size_t>(traits(config.cell).recurrent_bias ? config.hidden : 0);
  for (const Parameter& parameter : ParameterLayout(config).parameters) {
    const std::span<float> part = part_of(parameters, parameter);
    std::ranges::copy(file.get<float>(parameter.name, shape_in_file(config, parameter)).last(part.size()),
                      part.begin());
    if (const std::string name = second_bias(parameter); !name.empty() && file.contains(name)) {
      const auto second = file.get<float>(name, parameter.shape);
      std::ranges::transform(part.first(part.size() - own), second, part.begin(), std::plus{});
    }
    check_numbers<float>(part, path, parameter.name);
  }
}

void check_format(const SafetensorsFile& file, const fs::path& path) {
  const auto found = file.metadata().find(kFormatKey);
  if (found == file.metadata().end()) {
    fail(
        "{}: weights without Reel's metadata: expected a file that reel train wrote (or --init-from for weights alone)",
        path.string());
  }
  if (found->second != kFormat) fail("{}: Reel format {}, expected {}", path.string(), found->second, kFormat);
}

}  // namespace

void save_model(const fs::path& path, const ModelConfig& config, std::span<const float> parameters,
                const Metadata& metadata) {
  std::map<std::string, TensorView> tensors;
  std::map<std::string, std::vector<float>> second;  // biases
  for (const Parameter& parameter : ParameterLayout(config).parameters) {
    const std::span<const float> part = part_of(parameters, parameter);
    if (parameter.name.starts_with(kBiasHh)) {
      std::ranges::copy_backward(part, second[parameter.name].end());
      continue;
    }
    tensors[parameter.name] = tensor_view(part, parameter.shape);
    if (const std::string name = second_bias(parameter); !name.empty()) second[name].assign(part.size(), 0.0f);
  }
  for (const auto& [name, values] : second) {
    tensors[name] = tensor_view(std::span<const float>(values), {static_cast<std::int64_t>(values.size())});
  }
  Metadata all = metadata;
  all[kFormatKey] = kFormat;
  all[kCellOf] = traits(config.cell).name;
  all["pool"] = name_of(config.pool);
  if (config.layers > 1) all[kLayers] = std::to_string(config.layers);
  if (config.directions() > 1) all[kDirections] = std::to_string(config.directions());
  if (config.task != Task::kClassify) all[kTaskOf] = name_of(config.task);
  write_safetensors(path, tensors, all);
}

std::int64_t metadata_number(const std::string& where, const std::string& key, const std::string& text,
                             std::int64_t least, std::int64_t most) {
  std::int64_t value = 0;
  const char* const text_end = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), text_end, value);
  if (error != std::errc() || end != text_end || value < least || value > most) {
    fail("{}: metadata '{}' is '{}', expected a whole number from {} to {}", where, key, text, least, most);
  }
  return value;
}

SavedModel load_model(const fs::path& path) {
  const SafetensorsFile file(path);
  check_format(file, path);
  const auto choice = [&]<class Value>(const char* key, const Names<Value>& names) {
    const std::string& found = file.metadata(key);
    std::string all;
    for (const auto& [name, value] : names) {
      if (name == found) return value;
      all += (all.empty() ? "" : " or ") + name;
    }
    fail("{}: {} '{}', expected {}", path.string(), key, found, all);
  };
  const auto number = [&](const char* key, std::int64_t most) {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? 1 : metadata_number(path.string(), key, found->second, 1, most);
  };
  SavedModel saved{.metadata = file.metadata()};
  const auto shape_of = [&](const std::string& name) {
    file.get<float>(name, {-1, -1});
    return file.tensors().at(name).shape;
  };
  const std::vector<std::int64_t> table = shape_of("embedding.weight");
  saved.config = {.vocabulary = table[0],
                  .embedding = table[1],
                  .hidden = shape_of(kWeightHh + direction_suffix(0, false))[1],
                  .cell = choice(kCellOf, cell_names()),
                  .layers = number(kLayers, kMaxLayers),
                  .bidirectional = number(kDirections, 2) == 2,
                  .pool = choice("pool", pool_names()),
                  .task = file.metadata().contains(kTaskOf) ? choice(kTaskOf, task_names()) : Task::kClassify,
                  .outputs = shape_of("fc.weight")[0]};
  const std::int64_t most = saved.config.task == Task::kRegression ? 1 : static_cast<std::int64_t>(kMaxClasses);
  if (saved.config.outputs < 1 || saved.config.outputs > most) {
    fail("{}: {} numbers a text, expected 1{}", path.string(), saved.config.outputs,
         most > 1 ? fmt::format(" to {}", most) : "");
  }
  // Before a few bytes ask for much memory.
  for (const std::int64_t length : {saved.config.vocabulary, saved.config.embedding, saved.config.hidden}) {
    if (length < 1 || length > kMaxTensorLength) {
      fail("{}: a dimension of {}, expected 1 to {}", path.string(), length, kMaxTensorLength);
    }
  }
  check_layers(file, path, saved.config);
  for (const Parameter& parameter : ParameterLayout(saved.config).parameters) {
    file.get<float>(parameter.name, shape_in_file(saved.config, parameter));
  }
  saved.parameters.resize(static_cast<std::size_t>(parameter_count(saved.config)));
  copy_weights(file, path, saved.config, saved.parameters);
  return saved;
}

Metadata load_weights(const fs::path& path, const ModelConfig& config, std::span<float> parameters) {
  const SafetensorsFile file(path);
  const CellTraits& cell = traits(config.cell);
  const auto of = file.metadata().find(kCellOf);
  for (const CellTraits& other : kCells) {
    if (of != file.metadata().end() && of->second == other.name && other.gates != cell.gates) {
      fail("{}: weights of the cell {}, expected those of {}", path.string(), other.name, cell.name);
    }
  }
  check_layers(file, path, config);
  copy_weights(file, path, config, parameters);
  return file.metadata();
}

void save_training_state(const fs::path& path, const TrainingState& state) {
  const auto view = [](const std::vector<float>& values) {
    return tensor_view(std::span(values), {static_cast<std::int64_t>(values.size())});
  };
  std::vector<double> measured;
  for (const BatchStats& step : state.measured) {
    measured.insert(measured.end(), {step.loss_sum, step.correct, step.grad_norm});
  }
  Metadata values = state.values;
  values[kFormatKey] = kFormat;
  write_safetensors(path,
                    {{"parameters", view(state.parameters)},
                     {"state1", view(state.state1)},
                     {"state2", view(state.state2)},
                     {"measured", tensor_view(std::span<const double>(measured),
                                              {static_cast<std::int64_t>(state.measured.size()), kStatsOfStep})}},
                    values);
}

TrainingState load_training_state(const fs::path& path) {
  const SafetensorsFile file(path);
  check_format(file, path);
  const auto vector = [&](const char* name, bool infinity) {
    const auto values = file.get<float>(name, {-1});
    check_numbers<float>(values, path, name, infinity);
    return std::vector<float>(values.begin(), values.end());
  };
  TrainingState state{.parameters = vector("parameters", false),
                      .state1 = vector("state1", true),
                      .state2 = vector("state2", true),
                      .values = file.metadata()};
  if (!file.contains("measured")) return state;  // as 0.1.0 wrote it, between two lines of metrics.jsonl
  const auto measured = file.get<double>("measured", {-1, kStatsOfStep});
  check_numbers<double>(measured, path, "measured");
  for (std::size_t i = 0; i < measured.size(); i += kStatsOfStep) {
    state.measured.push_back({.loss_sum = measured[i], .correct = measured[i + 1], .grad_norm = measured[i + 2]});
  }
  return state;
}

}  // namespace reel
