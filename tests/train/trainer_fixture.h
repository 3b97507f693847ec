// A trainer of the generated reviews, small.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "host/model/checkpoint.h"
#include "host/train/trainer.h"
#include "kernels/make_backend.h"
#include "tests/support/support.h"

namespace reel {

using Json = nlohmann::json;

inline TrainConfig small_config() {
  TrainConfig config;
  config.preprocessing.maxlen = 30;
  config.model = {.embedding = 8, .hidden = 8};
  config.epochs = 2;
  config.batch_size = 16;
  config.log_every = 3;
  return config;
}

class TrainerTest : public testing::Test {
 protected:
  /// Trains into the folder `name`; `resume` continues it.
  Outcome train(TrainConfig config, const std::string& name, bool resume = false) {
    data_ = std::make_unique<TrainingData>(make_training_data(generate_corpus(100, 40), config));
    config.model.vocabulary = std::max(data_->vocabulary.size(), least_vocabulary_);
    const RunFolder run = resume ? RunFolder::open(folder_ / name) : RunFolder::create(folder_ / name);
    if (!resume) folder_.write(name + "/config.toml", "");
    Trainer trainer(*backend_, config, *data_, run,
                    {.step =
                         [&](const StepReport&) {
                           if (on_step_) on_step_();
                         },
                     .epoch = [](const std::string&) {},
                     .line = [&](const std::string& line) { said_ += line + '\n'; }});
    if (resume) trainer.resume();
    return trainer.run();
  }

  TrainingState state_of(const std::string& name) {
    return load_training_state(folder_ / name / "last" / "state.safetensors");
  }

  std::vector<Json> metrics_of(const std::string& name) {
    std::istringstream lines(contents(folder_ / name / "metrics.jsonl"));
    std::vector<Json> metrics;
    for (std::string line; std::getline(lines, line);) metrics.push_back(Json::parse(line));
    return metrics;
  }

  void expect_same_weights(const std::string& a, const std::string& b) {
    const TrainingState left = state_of(a), right = state_of(b);
    EXPECT_EQ(left.parameters, right.parameters);
    EXPECT_EQ(left.state1, right.state1);
    EXPECT_EQ(left.state2, right.state2);
    EXPECT_EQ(load_model(folder_ / a / "model.safetensors").parameters,
              load_model(folder_ / b / "model.safetensors").parameters);
  }

  TemporaryFolder folder_;
  std::unique_ptr<Backend<float>> backend_ = make_cpu_backend<float>(2);
  std::unique_ptr<TrainingData> data_;
  std::int64_t least_vocabulary_ = 0;  // the words beyond those of the data are in no review
  std::function<void()> on_step_;
  std::string said_;
};

/// Metrics but for what tells time.
inline std::vector<Json> without_times(std::vector<Json> metrics) {
  for (Json& line : metrics) {
    line.erase("seconds");
    line.erase("tokens_per_second");
  }
  return metrics;
}

}  // namespace reel
