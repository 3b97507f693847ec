// The training loop: epochs of steps, evaluations, checkpoints.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "host/model/model.h"
#include "host/model/optimizer.h"
#include "host/train/checkpoint_writer.h"
#include "host/train/config.h"
#include "host/train/measured_steps.h"
#include "host/train/progress.h"
#include "host/train/run_folder.h"
#include "host/train/task.h"
#include "host/train/training_data.h"
#include "host/train/training_state.h"
#include "kernels/range.h"

namespace reel {

enum class Outcome {
  kFinished,
  kInterrupted,  // saved, in training or between; --resume continues
  kDiverged,     // loss or weights are no numbers; the last checkpoint is from before
};

struct TrainEvents {
  std::function<void(const StepReport&)> step;         // every log_every steps
  std::function<void(const std::string& line)> epoch;  // after every epoch
  std::function<void(const std::string& line)> line;   // results and what went wrong
};

class Trainer {
 public:
  /// Kernels are loaded and memory is taken in these.
  static constexpr std::int64_t kStepsBeforeProfile = 20;

  /// `config.model.vocabulary` is that of the data. Initialises the weights, unless the folder has a checkpoint, from
  /// which resume() will take them. Keeps references to everything but the configuration.
  Trainer(Backend<float>& backend, const TrainConfig& config, const TrainingData& data, const RunFolder& folder,
          TrainEvents events);

  /// Goes back to the run folder's last checkpoint, or to the beginning where there is none yet: what follows is what
  /// the uninterrupted run would have done, bit for bit. Throws Error when the checkpoint is of other data or another
  /// model.
  void resume();

  /// Trains to the end, or to the next signal, and writes the run folder's files.
  Outcome run();

 private:
  enum class Stop { kEndOfEpoch, kMaxSteps, kInterrupted, kDiverged };
  struct Diverged {};  // thrown

  static double now();  // in seconds
  std::int64_t epoch_end() const { return (at_.epochs_done + 1) * task_.steps_per_epoch(); }

  Stop train_to_end_of_epoch();
  /// A graph, which is collected once and then launched again.
  void step();
  void mark_profile();
  /// Reports a window of steps, if there is one; false when some of what they measured is no number.
  bool report(const std::optional<StepWindow>& window);
  /// Reports all steps so far, and says whether the weights are numbers too: only then may they be saved.
  bool flush_and_check_weights();
  /// Evaluates, keeps the best weights, saves. Throws Interrupted or Diverged, with nothing changed.
  void finish_epoch();
  /// Of the weights at the end of that epoch, or within it. Throws Diverged where the loss is no number.
  Scores evaluate_split(const Dataset& dataset, const char* split, std::int64_t epoch, const Readout& readout);
  /// Chooses how the model is to be read, where the flags ask for it; what was chosen, for people.
  std::string select();
  void save_best() const;
  bool checkpoint_is_due() const;
  /// Begins to save where the run stands; false when it has diverged, and nothing is saved.
  bool save_checkpoint();
  TrainingState state();
  void save_state();
  void write_summary();

  Backend<float>& backend_;
  TrainConfig config_;
  const TrainingData& data_;
  const RunFolder& folder_;
  TrainEvents events_;

  ClassificationTask task_;
  Model<float> model_;
  Optimizer<float> optimizer_;
  Schedule schedule_;

  MeasuredSteps measured_;
  double last_report_ = 0;  // when

  CheckpointWriter writer_;
  std::int64_t saved_step_ = 0;  // of the last checkpoint
  double saved_at_ = 0;          // when

  Readout readout_;              // of the weights at the end of the last epoch
  Cursor at_;                    // its measured_seconds are those before the process began
  std::int64_t steps_here_ = 0;  // since the process began
  GraphName full_step_, last_step_;
};

}  // namespace reel
