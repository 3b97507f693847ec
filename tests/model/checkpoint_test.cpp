#include "host/model/checkpoint.h"

#include "host/files/safetensors.h"
#include "tests/support/support.h"

namespace reel {
namespace {

constexpr ModelConfig kConfig{.vocabulary = 7, .embedding = 3, .hidden = 4, .cell = Cell::kRelu, .pool = Pool::kMean};

std::vector<float> weights() {
  std::vector<float> all(static_cast<std::size_t>(parameter_count(kConfig)));
  initialise<float>(kConfig, {.init = Init::kTorch, .seed = 2}, all);
  return all;
}

TEST(Checkpoint, ReadsTheModelItWrote) {
  const TemporaryFolder folder;
  const std::vector<float> all = weights();
  save_model(folder / "m", kConfig, all, {{"key", "value"}});
  const SavedModel model = load_model(folder / "m");
  EXPECT_EQ(model.parameters, all);
  EXPECT_EQ(model.config.vocabulary, 7);
  EXPECT_EQ(model.config.embedding, 3);
  EXPECT_EQ(model.config.hidden, 4);
  EXPECT_EQ(model.config.cell, Cell::kRelu);
  EXPECT_EQ(model.config.pool, Pool::kMean);
  EXPECT_EQ(model.metadata,
            (Metadata{{"key", "value"}, {"nonlinearity", "relu"}, {"pool", "mean"}, {"reel_format", "1"}}))
      << "one layer in one direction is not spelt out";
}

TEST(Checkpoint, HasPyTorchsNamesAndLayouts) {
  const TemporaryFolder folder;
  save_model(folder / "m", kConfig, weights(), {});
  const SafetensorsFile file(folder / "m");
  EXPECT_EQ(file.tensors().size(), 7u);
  file.get<float>("embedding.weight", {7, 3});
  file.get<float>("rnn.weight_ih_l0", {4, 3});
  file.get<float>("rnn.weight_hh_l0", {4, 4});
  file.get<float>("rnn.bias_ih_l0", {4});
  for (const float b : file.get<float>("rnn.bias_hh_l0", {4})) EXPECT_EQ(b, 0);
  file.get<float>("fc.weight", {1, 4});
  file.get<float>("fc.bias", {1});
}

TEST(Checkpoint, WritesLayersAndDirectionsByPyTorchsNames) {
  const TemporaryFolder folder;
  const ModelConfig config{.vocabulary = 7,
                           .embedding = 3,
                           .hidden = 4,
                           .cell = Cell::kGru,
                           .layers = 3,
                           .bidirectional = true,
                           .pool = Pool::kConcat};
  std::vector<float> all(static_cast<std::size_t>(parameter_count(config)));
  initialise<float>(config, {.init = Init::kTorch, .seed = 2}, all);
  save_model(folder / "m", config, all, {});
  const SavedModel model = load_model(folder / "m");
  EXPECT_EQ(model.parameters, all);
  EXPECT_EQ(model.metadata.at("layers"), "3");
  EXPECT_EQ(model.metadata.at("directions"), "2");
  EXPECT_EQ(model.config.layers, 3);
  EXPECT_TRUE(model.config.bidirectional);
  EXPECT_EQ(model.config.pool, Pool::kConcat);
  const SafetensorsFile file(folder / "m");
  EXPECT_EQ(file.tensors().size(), 1u + 3 * 2 * 4 + 2);
  file.get<float>("rnn.weight_ih_l0_reverse", {12, 3});
  file.get<float>("rnn.weight_ih_l2_reverse", {12, 8});
  file.get<float>("rnn.bias_hh_l1_reverse", {12});
  file.get<float>("fc.weight", {1, 24});
}

/// A file as PyTorch writes it: two biases, no metadata.
void write_torch_file(const std::filesystem::path& path, std::int64_t vocabulary) {
  const std::vector<float> table(static_cast<std::size_t>(vocabulary * 3), 1), ih(12, 2), hh(16, 3), b1(4, 4),
      b2(4, 0.5f), w(4, 6), b(1, 7);
  const auto view = [](const std::vector<float>& v, std::vector<std::int64_t> shape) {
    return tensor_view(std::span(v), std::move(shape));
  };
  write_safetensors(path, {{"embedding.weight", view(table, {vocabulary, 3})},
                           {"rnn.weight_ih_l0", view(ih, {4, 3})},
                           {"rnn.weight_hh_l0", view(hh, {4, 4})},
                           {"rnn.bias_ih_l0", view(b1, {4})},
                           {"rnn.bias_hh_l0", view(b2, {4})},
                           {"fc.weight", view(w, {1, 4})},
                           {"fc.bias", view(b, {1})}});
}

TEST(Checkpoint, JoinsPyTorchsTwoBiases) {
  const TemporaryFolder folder;
  write_torch_file(folder / "t", 7);
  std::vector<float> all(static_cast<std::size_t>(parameter_count(kConfig)));
  load_weights(folder / "t", kConfig, all);
  const Parameter bias = ParameterLayout(kConfig).parameters[3];
  for (std::int64_t i = 0; i < 4; ++i) EXPECT_EQ(all[static_cast<std::size_t>(bias.offset + i)], 4.5f);
  EXPECT_EQ(all.back(), 7);
}

/// A GRU's candidate has two biases: r (W_hh h + b_hh) is not r (W_hh h) + b_hh.
TEST(Checkpoint, KeepsTheRecurrentBiasOfAGru) {
  constexpr ModelConfig kGru{.vocabulary = 7, .embedding = 3, .hidden = 4, .cell = Cell::kGru};
  const TemporaryFolder folder;
  std::vector<float> all(static_cast<std::size_t>(parameter_count(kGru)));
  initialise<float>(kGru, {.init = Init::kTorch, .seed = 2}, all);
  save_model(folder / "m", kGru, all, {});
  const SavedModel model = load_model(folder / "m");
  EXPECT_EQ(model.parameters, all);
  EXPECT_EQ(model.config.cell, Cell::kGru);
  EXPECT_EQ(model.config.hidden, 4);
  const SafetensorsFile file(folder / "m");
  file.get<float>("rnn.weight_hh_l0", {12, 4});
  const auto written = file.get<float>("rnn.bias_hh_l0", {12});
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(written[i], 0);

  // As PyTorch writes it, all gates with two.
  auto view = [&](const char* name) {
    return std::vector<float>(file.get<float>(name, file.tensors().at(name).shape).begin(),
                              file.get<float>(name, file.tensors().at(name).shape).end());
  };
  std::map<std::string, std::vector<float>> values;
  std::map<std::string, TensorView> tensors;
  for (const auto& [name, tensor] : file.tensors()) {
    values[name] = view(name.c_str());
    if (name == "rnn.bias_hh_l0") values[name].assign(12, 0.5f);
    tensors[name] = tensor_view(std::span<const float>(values[name]), tensor.shape);
  }
  write_safetensors(folder / "t", tensors);
  std::vector<float> loaded(all.size());
  load_weights(folder / "t", kGru, loaded);
  const ParameterLayout layout(kGru);
  const auto joined = part_of(std::span(loaded), layout.parameters[layout.layers[0][0].bias]);
  const auto own = part_of(std::span(loaded), layout.parameters[*layout.layers[0][0].b_hh]);
  const auto& bias = values["rnn.bias_ih_l0"];
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(joined[i], i < 8 ? bias[i] + 0.5f : bias[i]);
  for (const float b : own) EXPECT_EQ(b, 0.5f);
}

TEST(Checkpoint, RefusesWhatDoesNotFit) {
  const TemporaryFolder folder;
  std::vector<float> all(static_cast<std::size_t>(parameter_count(kConfig)));
  write_torch_file(folder / "t", 9);
  expect_error([&] { load_weights(folder / "t", kConfig, all); }, {"embedding.weight", "[9, 3], expected F32 [7, 3]"});
  expect_error([&] { load_model(folder / "t"); }, {"weights without Reel's metadata"});
  expect_error([&] { load_model(folder / "none"); }, {"none: cannot be read"});
  const std::vector<float> x(1);
  write_safetensors(folder / "v", {{"x", tensor_view(std::span(x), {1})}}, {{"reel_format", "2"}});
  expect_error([&] { load_model(folder / "v"); }, {"Reel format 2, expected 1"});
  expect_error([&] { load_training_state(folder / "v"); }, {"Reel format 2, expected 1"});
}

/// Ignoring them would make another network of the weights, which runs all the same.
TEST(Checkpoint, RefusesLayersThatItDoesNotHave) {
  const TemporaryFolder folder;
  struct Case {
    std::int64_t layers;
    bool bidirectional;
    const char* tensor;
  };
  for (const Case& c : {Case{2, false, "rnn.bias_hh_l1"}, Case{1, true, "rnn.bias_hh_l0_reverse"}}) {
    ModelConfig config = kConfig;
    config.layers = c.layers;
    config.bidirectional = c.bidirectional;
    std::vector<float> all(static_cast<std::size_t>(parameter_count(config)));
    initialise<float>(config, {.init = Init::kTorch, .seed = 2}, all);
    save_model(folder / "m", config, all, {});
    const std::string expected =
        fmt::format(": unexpected tensor '{}', expected those of 1 layer in 1 direction", c.tensor);
    std::vector<float> loaded = weights();
    expect_error([&] { load_weights(folder / "m", kConfig, loaded); }, {"m" + expected});
    EXPECT_EQ(loaded, weights()) << "nothing of it was taken";
    const SafetensorsFile file(folder / "m");
    Metadata metadata = file.metadata();
    metadata.erase("layers");
    metadata.erase("directions");
    write_safetensors(folder / "one", file.tensors(), metadata);
    expect_error([&] { load_model(folder / "one"); }, {"one" + expected});
  }
}

TEST(Checkpoint, RefusesNumbersOfLayersAndDirectionsThatNoModelHas) {
  const TemporaryFolder folder;
  save_model(folder / "m", kConfig, weights(), {});
  const SafetensorsFile file(folder / "m");
  const auto load = [&](const char* key, const std::string& value) {
    Metadata metadata = file.metadata();
    metadata[key] = value;
    write_safetensors(folder / "n", file.tensors(), metadata);
    load_model(folder / "n");
  };
  load("layers", "1");
  load("directions", "1");
  for (const char* const value : {"0", "-1", "17", "1x", "", "99999999999999999999"}) {
    expect_error([&] { load("layers", value); },
                 {fmt::format("n: metadata 'layers' is '{}', expected a whole number from 1 to 16", value)});
  }
  for (const char* const value : {"0", "3", "both"}) {
    expect_error([&] { load("directions", value); },
                 {fmt::format("n: metadata 'directions' is '{}', expected a whole number from 1 to 2", value)});
  }
  expect_error([&] { load("layers", "2"); }, {"n: no tensor 'rnn.weight_ih_l1'"});
  expect_error([&] { load("directions", "2"); }, {"n: no tensor 'rnn.weight_ih_l0_reverse'"});
}

TEST(Checkpoint, ReadsTheTrainingStateItWrote) {
  const TemporaryFolder folder;
  save_training_state(folder / "s", {.parameters = {1, 2},
                                     .state1 = {3, 4},
                                     .measured = {{.loss_sum = 0.1, .correct = 5, .grad_norm = 6}, {.loss_sum = 7}},
                                     .values = {{"cursor", "{}"}}});
  const TrainingState state = load_training_state(folder / "s");
  EXPECT_EQ(state.parameters, std::vector<float>({1, 2}));
  EXPECT_EQ(state.state1, std::vector<float>({3, 4}));
  EXPECT_TRUE(state.state2.empty());
  ASSERT_EQ(state.measured.size(), 2u);
  EXPECT_EQ(state.measured[0].loss_sum, 0.1);
  EXPECT_EQ(state.measured[0].correct, 5);
  EXPECT_EQ(state.measured[0].grad_norm, 6);
  EXPECT_EQ(state.measured[1].loss_sum, 7);
  EXPECT_EQ(state.values.at("cursor"), "{}");
}

TEST(Checkpoint, RefusesATrainingStateThatIsNoNumbers) {
  const TemporaryFolder folder;
  const TrainingState good{.parameters = {1, 2}, .state1 = {3, 4}, .state2 = {5}, .measured = {{.loss_sum = 7}}};
  for (int i = 0; i < 4; ++i) {
    TrainingState bad = good;
    if (i == 0) bad.parameters[1] = std::numeric_limits<float>::quiet_NaN();
    if (i == 1) bad.state1[0] = std::numeric_limits<float>::quiet_NaN();
    if (i == 2) bad.state2[0] = std::numeric_limits<float>::quiet_NaN();
    if (i == 3) bad.measured[0].grad_norm = std::numeric_limits<double>::quiet_NaN();
    save_training_state(folder / "s", bad);
    const char* const names[] = {"parameters", "state1", "state2", "measured"};
    expect_error([&] { load_training_state(folder / "s"); },
                 {fmt::format("s: '{}' holds what is no number", names[i])});
  }
  TrainingState overflowed = good;  // which Adagrad goes on with
  overflowed.state1[0] = overflowed.state2[0] = std::numeric_limits<float>::infinity();
  save_training_state(folder / "s", overflowed);
  EXPECT_EQ(load_training_state(folder / "s").state1, overflowed.state1);
}

}  // namespace
}  // namespace reel
