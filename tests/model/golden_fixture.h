// A model in float64 on the CPU, beside values of tests/golden/.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "host/model/model.h"
#include "kernels/make_backend.h"
#include "tests/support/support.h"

namespace reel {

inline Cell cell_named(const std::string& name) {
  return std::ranges::find_if(kCells, [&](const CellTraits& traits) { return traits.name == name; })->cell;
}

class GoldenTest : public testing::Test {
 protected:
  /// Of a file in tests/golden/, whose rows have room for so many steps.
  GoldenTest(const char* name, std::int64_t steps) {
    std::ifstream file(test_files() / "golden" / name);
    golden_ = nlohmann::json::parse(file);
    data_.steps = steps;
    for (const auto& row : golden_["ids"]) {
      for (const auto& id : row) data_.ids.push_back(id);
    }
    data_.lengths = golden_["lengths"].get<std::vector<std::int32_t>>();
    data_.labels.resize(data_.lengths.size());
    if (golden_.contains("labels")) golden_["labels"].get_to(data_.labels);
  }

  /// Of a case of make_family_golden.py's models, and the parameters that it gives them.
  ModelConfig family_config(const nlohmann::json& expected) const {
    const Names<Pool> pools = pool_names();
    const auto pool = std::ranges::find(pools, expected["pool"].get<std::string>(), &Names<Pool>::value_type::first);
    return {.vocabulary = golden_["V"],
            .embedding = golden_["E"],
            .hidden = golden_["H"],
            .cell = cell_named(expected["cell"]),
            .layers = expected["layers"],
            .bidirectional = expected["bidirectional"],
            .pool = pool->second};
  }
  static std::vector<double> family_parameters(const ModelConfig& config) {
    std::vector<double> parameters(static_cast<std::size_t>(parameter_count(config)));
    for (std::size_t i = 0; i < parameters.size(); ++i)
      parameters[i] = static_cast<double>(i * 7919 % 1201) / 1000 - 0.6;
    return parameters;
  }

  /// Forward and backward, of all rows as one batch.
  BatchStats run(Model<double>& model, Padding padding) {
    const DeviceDataset data = to_device(*backend_, data_);
    std::vector<std::int32_t> rows(data_.labels.size());
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<BatchStats> stats(1);
    model.select(data, rows, {.padding = padding});
    model.forward();
    model.backward(stats);
    return stats[0];
  }

  /// All gradients in the order of ParameterLayout, the embedding's dense.
  static std::vector<double> gradient(Model<double>& model) {
    const ParameterGradient<double> g = model.gradient();
    const auto E = static_cast<std::size_t>(model.config().embedding);
    std::vector<double> flat;
    for (const std::int32_t slot : g.index.slot) {
      for (std::size_t e = 0; e < E; ++e) {
        flat.push_back(slot < 0 ? 0 : g.rows[static_cast<std::size_t>(slot) * E + e]);
      }
    }
    flat.insert(flat.end(), g.dense.begin(), g.dense.end());
    return flat;
  }

  nlohmann::json golden_;
  Dataset data_;
  std::unique_ptr<Backend<double>> backend_ = make_cpu_backend<double>(2);
};

}  // namespace reel
