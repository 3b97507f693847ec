#include "host/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "host/text/shuffle.h"
#include "host/train/interrupt.h"
#include "kernels/check.h"
#include "kernels/range.h"

namespace reel {

double Trainer::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Trainer::Trainer(Backend<float>& backend, const TrainConfig& config, const TrainingData& data, const RunFolder& folder,
                 TrainEvents events)
    : backend_(backend),
      config_(config),
      data_(data),
      folder_(folder),
      config_text_(folder.config_text()),
      events_(std::move(events)),
      model_(backend, config.model, config.batch_size, config.preprocessing.maxlen),
      optimizer_(backend, config.optimizer.settings(), parameter_count(config.model)),
      schedule_{.kind = config.schedule,
                .peak = config.optimizer.peak_rate(),
                .warmup = config.warmup,
                .total = config.epochs * steps_per_epoch()},
      device_data_(to_device(backend, data.train)),
      device_order_(backend.allocate<std::int32_t>(data.train.size())),
      measured_(backend, config.log_every),
      writer_(folder_.state()),
      saved_at_(now()) {
  if (folder.has_checkpoint()) return;
  std::vector<float> weights(model_.parameters().size());
  initialise<float>(config.model, {.init = config.init, .orthogonal = config.orthogonal, .seed = config.seed}, weights);
  if (!config.init_from.empty()) load_weights(config.init_from, config.model, weights);
  backend.upload(std::span<const float>(weights), model_.parameters());
}

std::int64_t Trainer::steps_per_epoch() const {
  return (data_.train.size() + config_.batch_size - 1) / config_.batch_size;
}

Outcome Trainer::run() {
  const InterruptGuard guard;
  // The file of the first weights may be gone when the run is resumed.
  if (!config_.init_from.empty() && !folder_.has_checkpoint()) save_state();
  Stop stop = Stop::kEndOfEpoch;
  try {
    const bool patient = config_.early_stopping == 0;
    while (epochs_done_ < config_.epochs && (patient || epochs_without_gain_ < config_.early_stopping)) {
      stop = train_to_end_of_epoch();
      if (stop != Stop::kEndOfEpoch) break;
      finish_epoch();
    }
  } catch (const Interrupted&) {
    stop = Stop::kInterrupted;
  }
  if (stop == Stop::kInterrupted && !save_checkpoint()) stop = Stop::kDiverged;
  writer_.finish();
  if (stop == Stop::kDiverged) return Outcome::kDiverged;
  if (stop == Stop::kMaxSteps) save_state();
  const bool within_epoch = step_ > epochs_done_ * steps_per_epoch();
  if (within_epoch && data_.validation.size() == 0) {  // the last weights are the best guess
    best_epoch_ = epochs_done_ + 1;
    best_test_.reset();
    save_best();
  }
  if (best_epoch_ == 0) save_best();  // something to evaluate
  if (stop == Stop::kInterrupted) return Outcome::kInterrupted;
  try {
    write_summary();
  } catch (const Interrupted&) {
    return Outcome::kInterrupted;
  }
  return Outcome::kFinished;
}

Trainer::Stop Trainer::train_to_end_of_epoch() {
  const ProfileRange range(backend_, "epoch");
  shuffle();
  last_report_ = now() - std::exchange(measured_seconds_, 0);
  while (step_ < epoch_end()) {
    if (config_.max_steps > 0 && step_ >= config_.max_steps) {
      return flush_and_check_weights() ? Stop::kMaxSteps : Stop::kDiverged;
    }
    if (InterruptGuard::signal() != 0) return Stop::kInterrupted;
    writer_.check();
    if (checkpoint_is_due() && !save_checkpoint()) return Stop::kDiverged;
    steps(backend_.has_graphs() ? steps_until_report() : 1);
    if (measured_.room() == 0) {
      if (!report(measured_.take(true))) return Stop::kDiverged;  // the window before
      measured_.read(step_);
    }
    if (!report(measured_.take(false))) return Stop::kDiverged;
  }
  return flush_and_check_weights() ? Stop::kEndOfEpoch : Stop::kDiverged;
}

void Trainer::shuffle() {
  const auto reviews = data_.train.size();
  if (config_.shuffle) {
    order_ = random_order(
        {.seed = config_.seed, .stream = RandomStream::kShuffle, .step = static_cast<std::uint64_t>(epochs_done_)},
        reviews);
  } else {
    order_.resize(static_cast<std::size_t>(reviews));
    std::iota(order_.begin(), order_.end(), 0);
  }
  backend_.upload(std::span<const std::int32_t>(order_), device_order_.span());
}

std::int64_t Trainer::steps_until_mark() const {
  std::int64_t until = std::numeric_limits<std::int64_t>::max();
  if (config_.profile_steps == 0) return until;
  for (const std::int64_t mark : {kStepsBeforeProfile, kStepsBeforeProfile + config_.profile_steps}) {
    if (mark > steps_here_) until = std::min(until, mark - steps_here_);
  }
  return until;
}

std::int64_t Trainer::steps_until_report() const {
  const std::int64_t end = config_.max_steps > 0 ? std::min(epoch_end(), config_.max_steps) : epoch_end();
  const std::int64_t every = config_.checkpoint_every.steps, to_checkpoint = every > 0 ? every - step_ % every : end;
  return std::min({measured_.room(), to_checkpoint, steps_until_mark(), end - step_});
}

/// A profile is marked between graphs: what is within one runs later.
void Trainer::steps(std::int64_t count) {
  mark_profile();
  const bool whole = (step_ + count) % steps_per_epoch() != 0;  // the epoch's last batch may be smaller
  GraphCapture graph(backend_, fmt::format("{} steps{}", count, whole ? "" : " to the end of an epoch"));
  for (std::int64_t i = 0; i < count; ++i) step();
  graph.launch();
}

void Trainer::mark_profile() {
  if (config_.profile_steps == 0) return;
  if (steps_here_ == kStepsBeforeProfile) backend_.record_profile(true);
  if (steps_here_ == kStepsBeforeProfile + config_.profile_steps) backend_.record_profile(false);
}

void Trainer::step() {
  if (epoch_seconds_.size() == static_cast<std::size_t>(epochs_done_)) epoch_seconds_.push_back(0);
  const std::int64_t first = (step_ - epochs_done_ * steps_per_epoch()) * config_.batch_size;
  const auto place = static_cast<std::size_t>(first);
  const auto size = static_cast<std::size_t>(std::min(config_.batch_size, data_.train.size() - first));
  const std::span<BatchStats> stats = measured_.next();
  const ProfileRange range(backend_, "step");
  model_.select(device_data_, device_order_.span(place, size),
                {.padding = config_.preprocessing.batch_padding(),
                 .word_dropout = config_.word_dropout,
                 .unknown_id = std::max(config_.preprocessing.load.oov_char, 0),
                 .dropout = config_.dropout,
                 .seed = config_.seed,
                 .step = static_cast<std::uint64_t>(step_)});
  model_.forward();
  model_.backward(stats);
  optimizer_.step(model_, schedule_.at(step_), config_.clipping, stats);
  ++step_;
  ++steps_here_;
  std::int64_t tokens = static_cast<std::int64_t>(size) * data_.train.steps;
  if (config_.preprocessing.mask) {
    tokens = 0;
    for (const std::int32_t row : std::span(order_).subspan(place, size)) {
      tokens += data_.train.lengths[static_cast<std::size_t>(row)];
    }
  }
  measured_.add(static_cast<std::int64_t>(size), tokens);
}

bool Trainer::flush() {
  if (!report(measured_.take(true))) return false;
  measured_.read(step_);
  return report(measured_.take(true));
}

bool Trainer::report(const std::optional<StepWindow>& window) {
  if (!window) return true;
  const std::vector<BatchStats>& stats = window->stats;
  const double seconds = now() - last_report_;
  last_report_ += seconds;
  epoch_seconds_.back() += seconds;
  BatchStats sum;
  for (std::size_t i = 0; i < stats.size(); ++i) {
    if (!std::isfinite(stats[i].loss_sum) || !std::isfinite(stats[i].grad_norm)) {
      events_.line(fmt::format("step {}: loss {}, gradient norm {}: training stopped",
                               window->last_step - static_cast<std::int64_t>(stats.size() - 1 - i),
                               std::abs(stats[i].loss_sum), std::abs(stats[i].grad_norm)));  // of -nan, nan
      return false;
    }
    sum.loss_sum += stats[i].loss_sum;
    sum.correct += stats[i].correct;
    sum.grad_norm += stats[i].grad_norm;
  }
  const auto reviews = static_cast<double>(window->reviews), steps = static_cast<double>(stats.size());
  const double rate = static_cast<double>(window->tokens) / seconds;
  folder_.append({.step = window->last_step,
                  .epoch = epochs_done_ + 1,
                  .split = "train",
                  .loss = sum.loss_sum / reviews,
                  .accuracy = sum.correct / reviews,
                  .grad_norm = sum.grad_norm / steps,
                  .lr = schedule_.at(window->last_step - 1),
                  .seconds = seconds,
                  .tokens_per_second = rate});
  events_.step({.step = window->last_step,
                .steps_in_all = schedule_.total,
                .epoch = epochs_done_ + 1,
                .epochs = config_.epochs,
                .loss = sum.loss_sum / reviews,
                .accuracy = sum.correct / reviews,
                .tokens_per_second = rate,
                .seconds_left = seconds / steps * static_cast<double>(schedule_.total - window->last_step)});
  return true;
}

bool Trainer::flush_and_check_weights() {
  if (!flush()) return false;
  std::vector<float> weights(model_.parameters().size());
  backend_.download(std::as_const(model_).parameters(), std::span(weights));
  if (std::ranges::all_of(weights, [](float w) { return std::isfinite(w); })) return true;
  events_.line(fmt::format("step {}: the weights are no longer finite: training stopped", step_));
  return false;
}

Evaluation Trainer::evaluate_split(const Dataset& dataset, const char* split, std::int64_t epoch) {
  const Evaluation result = evaluate(model_, dataset, config_.preprocessing.batch_padding(), config_.batch_size);
  folder_.append({.step = step_,
                  .epoch = epoch,
                  .split = split,
                  .loss = result.loss,
                  .accuracy = result.accuracy(),
                  .seconds = result.seconds,
                  .tokens_per_second = static_cast<double>(result.tokens) / result.seconds});
  return result;
}

void Trainer::finish_epoch() {
  const std::int64_t epoch = epochs_done_ + 1;
  std::string line = fmt::format("epoch {}/{}  {:.1f} s", epoch, config_.epochs, epoch_seconds_.back());
  std::optional<Evaluation> validation, test;
  if (data_.validation.size() > 0) {
    validation = evaluate_split(data_.validation, "validation", epoch);
    line += fmt::format("  validation loss {:.4f} accuracy {:.2f} %", validation->loss, 100 * validation->accuracy());
  }
  if (config_.test_each_epoch) {
    test = evaluate_split(data_.test, "test", epoch);
    line += fmt::format("  test loss {:.4f} accuracy {:.2f} %", test->loss, 100 * test->accuracy());
  }
  epochs_done_ = epoch;
  // Without validation the last epoch is the best guess.
  const bool best = !validation || validation->accuracy() > best_accuracy_;
  if (validation) best_accuracy_ = std::max(best_accuracy_, validation->accuracy());
  epochs_without_gain_ = best ? 0 : epochs_without_gain_ + 1;
  if (best) {
    best_epoch_ = epoch;
    best_test_ = test;
    save_best();
  }
  save_state();
  events_.epoch(line);
}

}  // namespace reel
