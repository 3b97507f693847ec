// Everything that a training run is told; the command line and config files fill it (host/cli/train_options.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "host/model/optimizer.h"
#include "host/model/parameters.h"
#include "host/model/preprocessing.h"
#include "host/model/schedule.h"

namespace reel {

enum class Preset { kRecipe, kTutorial, kLong };

/// Which training reviews validate.
enum class ValidationRows {
  kStratified,  // of each class the same share, its last rows
  kLast,        // the last rows, as in Keras
};

/// What makes an epoch's weights better than those before.
enum class BestBy { kAuto, kLoss, kAccuracy, kMacroF1 };  // kAuto: selection.h

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::kAdam;
  Convention convention = Convention::kKeras;
  // Left out: what the convention's framework has (default_settings).
  std::optional<double> learning_rate, beta1, beta2, epsilon, rho, momentum, weight_decay;
  bool nesterov = false;

  OptimizerSettings settings() const;
  double peak_rate() const;
  /// The flag of a number that is given, but not one of this optimizer's; "" where there is none.
  std::string_view unused_flag() const;
};

/// When a run saves, beside the end of every epoch: every so many steps or, if that is 0, minutes; never, if both are.
struct CheckpointInterval {
  std::int64_t steps = 0;
  double minutes = 5;
};

/// Flags that may be said anew when a run is resumed.
inline constexpr std::string_view kFreeOnResume[] = {
    "resume",   "data",    "test-data", "device",    "precision", "recurrence",       "threads",
    "no-graph", "timings", "profile",   "max-steps", "log-every", "checkpoint-every", "quiet"};

struct TrainConfig {
  Preset preset = Preset::kRecipe;

  std::filesystem::path data, test_data;  // empty: see default_corpus
  ReadOptions reading;
  bool keras_exact = false;  // an npz shuffled as load_data(seed=113) does
  Preprocessing preprocessing;
  double validation_split = 0;  // share of the training reviews
  ValidationRows validation = ValidationRows::kStratified;
  std::string class_weights;  // "balanced", the path of a file (class_weights.h), or empty: all classes count 1

  ModelConfig model;  // its vocabulary is set from the data
  Init init = Init::kKeras;
  bool orthogonal = true;
  std::filesystem::path init_from;  // weights to start from

  OptimizerConfig optimizer;
  ScheduleKind schedule = ScheduleKind::kLinear;
  double warmup = 0.1;
  Clipping clipping{.norm = 1.0};
  float dropout = 0.5f;
  float word_dropout = 0.2f;
  float embedding_dropout = 0;
  float layer_dropout = 0;   // between recurrent layers
  bool variational = false;  // one mask of it for all steps
  std::int64_t bptt = 0;     // steps from a row's end that gradients go back; 0: all

  std::int64_t epochs = 4;
  std::int64_t batch_size = 64;
  std::int64_t max_steps = 0;       // 0: no limit; the schedule does not see it
  std::int64_t early_stopping = 0;  // epochs without a better validation score; 0: off
  BestBy best_by = BestBy::kAuto;
  bool calibrate = false;       // choose the temperature on the validation reviews
  bool find_threshold = false;  // and the probability from which on a class is taken
  bool shuffle = true;
  bool test_each_epoch = true;
  std::uint64_t seed = 1;

  std::int64_t log_every = 50;
  CheckpointInterval checkpoint_every;
  std::int64_t profile_steps = 0;  // for a profiler to record, after the first kStepsBeforeProfile
};

/// kRecipe: what reaches 86 % on IMDB. kTutorial: the well-known tutorial to the letter, in Keras' conventions. kLong:
/// 400 tokens, all three poolings, and what did best with them on held-out training reviews, by cell.
TrainConfig preset_config(Preset preset, Cell cell = Cell::kTanh);

}  // namespace reel
