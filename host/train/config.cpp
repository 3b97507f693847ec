#include "host/train/config.h"

namespace reel {

OptimizerSettings OptimizerConfig::settings() const {
  OptimizerSettings s = default_settings(kind, convention);
  s.beta1 = beta1.value_or(s.beta1);
  s.beta2 = beta2.value_or(s.beta2);
  s.epsilon = epsilon.value_or(s.epsilon);
  s.rho = rho.value_or(s.rho);
  s.momentum = momentum.value_or(s.momentum);
  s.weight_decay = weight_decay.value_or(s.weight_decay);
  s.nesterov = nesterov;
  return s;
}

double OptimizerConfig::peak_rate() const { return learning_rate.value_or(default_learning_rate(kind, convention)); }

std::string_view OptimizerConfig::unused_flag() const {
  const bool adam = kind == OptimizerKind::kAdam || kind == OptimizerKind::kAdamW, sgd = kind == OptimizerKind::kSgd,
             rmsprop = kind == OptimizerKind::kRmsprop;
  if (beta1 && !adam) return "--beta1";
  if (beta2 && !adam) return "--beta2";
  if (epsilon && sgd) return "--epsilon";
  if (rho && !rmsprop) return "--rho";
  if (momentum && !sgd && !rmsprop) return "--momentum";
  if (nesterov && !sgd) return "--nesterov";
  return "";
}

TrainConfig preset_config(Preset preset, Cell cell) {
  TrainConfig config{.preset = preset};
  config.model.cell = cell;
  if (preset == Preset::kLong) {
    config.preprocessing.maxlen = 400;
    config.model.pool = Pool::kConcat;
    config.epochs = traits(cell).gates > 1 ? 4 : 5;
    config.word_dropout = cell == Cell::kLstm ? 0.2f : 0.3f;
    config.embedding_dropout = cell == Cell::kLstm ? 0.3f : 0.2f;
  }
  if (preset == Preset::kTutorial) {
    config.preprocessing.mask = false;
    config.schedule = ScheduleKind::kConstant;
    config.warmup = 0;
    config.clipping = {};
    config.dropout = 0;
    config.word_dropout = 0;
    config.epochs = 5;
    config.batch_size = 32;
    config.validation = ValidationRows::kLast;
  }
  return config;
}

}  // namespace reel
