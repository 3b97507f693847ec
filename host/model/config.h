// What a model is made of.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "host/text/labels.h"
#include "kernels/contract/cells.h"
#include "kernels/contract/head.h"

namespace reel {

/// Embedding(V, E) -> recurrent layers of H units, in one direction or in both -> pooling -> Dense(C).
struct ModelConfig {
  std::int64_t vocabulary = 10000;  // V
  std::int64_t embedding = 128;     // E
  std::int64_t hidden = 128;        // H
  Cell cell = Cell::kTanh;
  std::int64_t layers = 1;
  bool bidirectional = false;
  Pool pool = Pool::kLast;
  Task task = Task::kClassify;
  std::int64_t outputs = 1;  // C, see LabelSet::outputs()

  std::int64_t directions() const { return bidirectional ? 2 : 1; }                  // D
  std::int64_t output_width() const { return directions() * hidden; }                // of a layer: D*H
  std::int64_t pooled_width() const { return pooled_parts(pool) * output_width(); }  // P
  Loss loss() const {
    if (task == Task::kRegression) return Loss::kSquared;
    return task == Task::kClassify && outputs > 1 ? Loss::kSoftmax : Loss::kSigmoid;
  }
  /// Whether what flows back into a layer's states is known step by step alone: OutputGradient::has_steps().
  bool has_steps(std::int64_t layer = 0) const { return layer + 1 < layers || has_maximum(pool); }
};

/// What values are called in flags and files.
template <class Value>
using Names = std::vector<std::pair<std::string, Value>>;

inline Names<Cell> cell_names() {
  Names<Cell> names;
  for (const CellTraits& traits : kCells) names.emplace_back(traits.name, traits.cell);
  return names;
}
constexpr const char* name_of(Pool pool) {
  switch (pool) {
    case Pool::kLast:
      return "last";
    case Pool::kMean:
      return "mean";
    case Pool::kMax:
      return "max";
    case Pool::kConcat:
      break;
  }
  return "concat";
}
inline Names<Pool> pool_names() {
  Names<Pool> names;
  for (const Pool pool : {Pool::kLast, Pool::kMean, Pool::kMax, Pool::kConcat}) names.emplace_back(name_of(pool), pool);
  return names;
}

inline Names<Task> task_names() { return {std::begin(kTasks), std::end(kTasks)}; }

}  // namespace reel
