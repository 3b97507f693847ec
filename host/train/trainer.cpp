#include "host/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "host/files/checksum.h"
#include "host/files/interrupt.h"
#include "host/train/resume_check.h"
#include "host/train/selection.h"
#include "host/train/summary.h"
#include "kernels/check.h"
#include "kernels/error.h"
#include "kernels/range.h"

namespace reel {
namespace {

std::vector<float> on_host(Backend<float>& backend, std::span<const float> values) {
  std::vector<float> copy(values.size());
  backend.download(values, std::span(copy));
  return copy;
}

bool all_finite(const std::vector<float>& weights) {
  return std::ranges::all_of(weights, [](float w) { return std::isfinite(w); });
}

}  // namespace

double Trainer::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Trainer::Trainer(Backend<float>& backend, const TrainConfig& config, const TrainingData& data, const RunFolder& folder,
                 TrainEvents events)
    : backend_(backend),
      config_(config),
      data_(data),
      folder_(folder),
      events_(std::move(events)),
      task_(backend, config_, data),
      model_(backend, config.model, config.batch_size, config.preprocessing.maxlen),
      optimizer_(model_, config.optimizer.settings()),
      schedule_{.kind = config.schedule,
                .peak = config.optimizer.peak_rate(),
                .warmup = config.warmup,
                .total = config.epochs * task_.steps_per_epoch()},
      measured_(backend, config.log_every),
      writer_(folder_.state()),
      saved_at_(now()),
      readout_(data.readout),
      at_{.config = folder.config_text(), .data_checksum = data.checksum, .weights_checksum = data.weights_checksum},
      full_step_(backend, "step"),
      last_step_(backend, "last step") {
  constexpr std::int64_t kMostAhead = 4096;  // steps
  optimizer_.follow(
      task_.clock(), [this](std::int64_t step) { return schedule_.at(step); },
      std::min(task_.steps_per_epoch(), kMostAhead));
  if (!data.positive_weights.empty()) model_.set_positive_weights(data.positive_weights);
  if (folder.has_checkpoint()) return;
  std::vector<float> weights(model_.parameters().size());
  initialise<float>(config.model, {.init = config.init, .orthogonal = config.orthogonal, .seed = config.seed}, weights);
  if (!config.init_from.empty()) {
    const Metadata from = load_weights(config.init_from, config.model, weights);
    const auto words = from.find(kWordsOf);
    if (words != from.end() && words->second != text_crc32(data.vocabulary.text())) {
      events_.line(
          fmt::format("warning: {}: trained on other words, or other counts of them: rows may mean others here",
                      config.init_from.string()));
    }
    const std::string cell = traits(config.model.cell).name;
    if (const auto of = from.find(kCellOf); of != from.end() && of->second != cell) {
      events_.line(fmt::format("warning: {}: weights of the cell {}, this model's is {}", config.init_from.string(),
                               printable(of->second), cell));
    }
  }
  backend.upload(std::span<const float>(weights), model_.parameters());
}

Outcome Trainer::run() {
  const InterruptGuard guard;
  // The file of the first weights may be gone when the run is resumed.
  if (!config_.init_from.empty() && !folder_.has_checkpoint()) save_state();
  Stop stop = Stop::kEndOfEpoch;
  try {
    const bool patient = config_.early_stopping == 0;
    while (at_.epochs_done < config_.epochs && (patient || at_.epochs_without_gain < config_.early_stopping)) {
      stop = train_to_end_of_epoch();
      if (stop != Stop::kEndOfEpoch) break;
      finish_epoch();
    }
  } catch (const Interrupted&) {
    stop = Stop::kInterrupted;
  } catch (const Diverged&) {
    stop = Stop::kDiverged;
  }
  if (stop == Stop::kInterrupted && !save_checkpoint()) stop = Stop::kDiverged;
  writer_.finish();
  if (stop == Stop::kDiverged) return Outcome::kDiverged;
  if (stop == Stop::kMaxSteps) save_state();
  const bool within_epoch = at_.step > at_.epochs_done * task_.steps_per_epoch();
  if (within_epoch && (data_.validation.size() == 0 || at_.best_epoch == 0)) {  // the last weights are the best guess
    at_.best_epoch = at_.epochs_done + 1;
    at_.best_test.reset();
    const std::string chosen = stop == Stop::kInterrupted ? "" : select();  // what goes on chooses at its end
    if (!chosen.empty()) events_.line("chosen:" + chosen);
    save_best();
  } else if (within_epoch && stop == Stop::kMaxSteps) {
    events_.line(fmt::format("stopped within epoch {}, before its validation: the model is that of epoch {}",
                             at_.epochs_done + 1, at_.best_epoch));
  }
  if (at_.best_epoch == 0) save_best();  // something to evaluate
  if (stop == Stop::kInterrupted) return Outcome::kInterrupted;
  try {
    write_summary();
  } catch (const Interrupted&) {
    return Outcome::kInterrupted;
  } catch (const Diverged&) {
    return Outcome::kDiverged;
  }
  return Outcome::kFinished;
}

Trainer::Stop Trainer::train_to_end_of_epoch() {
  const ProfileRange range(backend_, "epoch");
  task_.begin_epoch(at_.epochs_done, at_.step, measured_.next_slot());
  optimizer_.put_rates();
  last_report_ = now() - std::exchange(at_.measured_seconds, 0);
  while (at_.step < epoch_end()) {
    if (config_.max_steps > 0 && at_.step >= config_.max_steps) {
      return flush_and_check_weights() ? Stop::kMaxSteps : Stop::kDiverged;
    }
    if (InterruptGuard::signal() != 0) return Stop::kInterrupted;
    writer_.check();
    if (checkpoint_is_due() && !save_checkpoint()) return Stop::kDiverged;
    step();
    if (measured_.room() == 0) {
      if (!report(measured_.take(true))) return Stop::kDiverged;  // the window before
      measured_.read(at_.step);
    }
    if (!report(measured_.take(false))) return Stop::kDiverged;
  }
  return flush_and_check_weights() ? Stop::kEndOfEpoch : Stop::kDiverged;
}

void Trainer::mark_profile() {
  if (config_.profile_steps == 0) return;
  if (steps_here_ == kStepsBeforeProfile) backend_.record_profile(true);
  if (steps_here_ == kStepsBeforeProfile + config_.profile_steps) backend_.record_profile(false);
}

void Trainer::step() {
  mark_profile();
  if (at_.epoch_seconds.size() == static_cast<std::size_t>(at_.epochs_done)) at_.epoch_seconds.push_back(0);
  const ProfileRange range(backend_, "step");
  const ClassificationTask::BatchSize batch = task_.batch_size(at_.step);
  if (!optimizer_.has_rates()) optimizer_.put_rates();
  const bool full = batch.reviews == config_.batch_size;
  const std::string& name = full ? full_step_ : last_step_;
  if (!backend_.launch_graph(name)) {
    GraphCapture graph(backend_, name);
    const std::span<BatchStats> slots = measured_.slots();
    task_.select(model_, batch.reviews, static_cast<std::int64_t>(slots.size()));
    model_.forward();
    model_.backward(slots);
    optimizer_.step(config_.clipping, slots);
    graph.launch();
  }
  optimizer_.count_step();
  ++at_.step;
  ++steps_here_;
  measured_.add(batch.reviews, batch.tokens);
}

bool Trainer::report(const std::optional<StepWindow>& window) {
  if (!window) return true;
  const std::vector<BatchStats>& stats = window->stats;
  const double seconds = now() - last_report_;
  last_report_ += seconds;
  at_.epoch_seconds.back() += seconds;
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
  const Task task = data_.labels.task;
  const bool numbers = task == Task::kRegression;
  const double loss = sum.loss_sum / reviews * (numbers ? data_.readout.scale * data_.readout.scale : 1);
  // Of several labels, `correct` is a share of them, not of reviews that have all right.
  const std::optional<double> accuracy = task == Task::kClassify ? std::optional(sum.correct / reviews) : std::nullopt;
  folder_.append({.step = window->last_step,
                  .epoch = at_.epochs_done + 1,
                  .split = "train",
                  .loss = loss,
                  .accuracy = accuracy,
                  .grad_norm = sum.grad_norm / steps,
                  .lr = schedule_.at(window->last_step - 1),
                  .seconds = seconds,
                  .tokens_per_second = rate});
  events_.step({.step = window->last_step,
                .steps_in_all = schedule_.total,
                .epoch = at_.epochs_done + 1,
                .epochs = config_.epochs,
                .loss = loss,
                .accuracy = accuracy,
                .tokens_per_second = rate,
                .seconds_left = seconds / steps * static_cast<double>(schedule_.total - window->last_step)});
  return true;
}

bool Trainer::flush_and_check_weights() {
  if (!report(measured_.take(true))) return false;
  measured_.read(at_.step);
  if (!report(measured_.take(true))) return false;
  if (all_finite(on_host(backend_, model_.parameters()))) return true;
  events_.line(fmt::format("step {}: the weights are no longer finite: training stopped", at_.step));
  return false;
}

Scores Trainer::evaluate_split(const Dataset& dataset, const char* split, std::int64_t epoch, const Readout& readout) {
  const Scores result = task_.evaluate(model_, dataset, readout).scores();
  if (!std::isfinite(result.loss)) {  // of finite weights too: no logit that is no number is right or wrong
    events_.line(fmt::format("step {}: {} loss {}: training stopped", at_.step, split, std::abs(result.loss)));
    throw Diverged();
  }
  folder_.append({.step = std::min(epoch * task_.steps_per_epoch(), at_.step),
                  .epoch = epoch,
                  .split = split,
                  .loss = result.loss,
                  .accuracy = result.accuracy,
                  .macro_f1 = result.macro_f1,
                  .seconds = result.seconds,
                  .tokens_per_second = static_cast<double>(result.tokens) / result.seconds});
  return result;
}

std::string Trainer::select() {
  if (data_.validation.size() == 0 || !(config_.calibrate || config_.find_threshold)) return "";
  Selection selection = select_readout(config_, task_.logits(model_, data_.validation), data_.validation);
  readout_ = std::move(selection.readout);
  return std::move(selection.text);
}

void Trainer::finish_epoch() {
  const std::int64_t epoch = at_.epochs_done + 1;
  std::string line = fmt::format("epoch {}/{}  {:.1f} s", epoch, config_.epochs, at_.epoch_seconds.back());
  std::optional<Scores> validation, test;
  if (data_.validation.size() > 0) {
    validation = evaluate_split(data_.validation, "validation", epoch, data_.readout);
    line += scores_text("validation", *validation, data_.labels);
    line += select();
  }
  if (config_.test_each_epoch) {
    test = evaluate_split(data_.test, "test", epoch, readout_);
    line += scores_text("test", *test, data_.labels);
  }
  at_.epochs_done = epoch;
  // Without validation the last epoch is the best guess.
  const double score = validation ? selection_score(config_.best_by, data_.labels.task, *validation) : 0;
  const bool best = !validation || !at_.best_score || score > *at_.best_score;
  if (validation && best) at_.best_score = score;
  at_.epochs_without_gain = best ? 0 : at_.epochs_without_gain + 1;
  if (best) {
    at_.best_epoch = epoch;
    at_.best_test = test;
    save_best();
  }
  save_state();
  events_.epoch(line);
}

void Trainer::resume() {
  if (!folder_.has_checkpoint()) return folder_.keep_metrics([](std::int64_t, const std::string&) { return false; });
  TrainingState state = load_training_state(folder_.state());
  Cursor cursor = cursor_of(state.values, folder_.state().string());
  check_resumable(state, cursor, folder_, config_, data_, task_.steps_per_epoch());
  const auto restore = [&](const std::vector<float>& saved, std::span<float> to, const char* what) {
    if (saved.size() != to.size()) {
      fail("{}: {} has {} elements, expected {}", folder_.state().string(), what, saved.size(), to.size());
    }
    backend_.upload(std::span<const float>(saved), to);
  };
  restore(state.parameters, model_.parameters(), "parameters");
  restore(state.state1, optimizer_.state1(), "state1");
  restore(state.state2, optimizer_.state2(), "state2");
  optimizer_.set_steps_taken(cursor.step);
  saved_step_ = cursor.step;
  cursor.config = std::move(at_.config);  // what may be said anew is as it is now
  at_ = std::move(cursor);
  folder_.keep_metrics([this](std::int64_t step, const std::string& split) {
    if (split == "train") return step <= at_.step;
    // Evaluations of epochs that are done; others are made anew, and so are tests of an end that this run goes beyond.
    const bool of_an_epoch = step % task_.steps_per_epoch() == 0 && (split != "test" || config_.test_each_epoch);
    return of_an_epoch && step <= at_.epochs_done * task_.steps_per_epoch();
  });
  const StepWindow window{.last_step = at_.step,
                          .reviews = at_.measured_reviews,
                          .tokens = at_.measured_tokens,
                          .stats = std::move(state.measured)};
  if (measured_.room() > static_cast<std::int64_t>(window.stats.size())) return measured_.restore(window);
  last_report_ = now() - std::exchange(at_.measured_seconds, 0);  // --log-every is shorter than it was
  report(window);
}

void Trainer::save_best() const {
  Metadata metadata = to_metadata(config_.preprocessing);
  metadata[kTrainedOn] = data_.checksum;
  metadata[kWordsOf] = text_crc32(data_.vocabulary.text());
  metadata[kLabelsOf] = text_crc32(label_names_text(data_.labels));
  metadata.merge(to_metadata(readout_));
  const ReadOptions& reading = config_.reading;
  if (!reading.text_columns.empty()) metadata[kTextColumns] = fmt::format("{}", fmt::join(reading.text_columns, ","));
  if (!reading.label_column.empty()) metadata[kLabelColumn] = reading.label_column;
  save_model(folder_.model(), config_.model, on_host(backend_, model_.parameters()), metadata);
}

bool Trainer::checkpoint_is_due() const {
  if (at_.step == saved_step_) return false;
  const CheckpointInterval& every = config_.checkpoint_every;
  if (every.steps > 0) return at_.step % every.steps == 0;
  return every.minutes > 0 && now() - saved_at_ >= 60 * every.minutes;
}

bool Trainer::save_checkpoint() {
  if (!report(measured_.take(true))) return false;  // the window before this one
  TrainingState saved = state();
  const bool finite = all_finite(saved.parameters) && std::ranges::all_of(saved.measured, [](const BatchStats& s) {
                        return std::isfinite(s.loss_sum) && std::isfinite(s.grad_norm);
                      });
  if (!finite) return flush_and_check_weights();  // says so
  folder_.sync_metrics();
  writer_.start(std::move(saved));
  saved_step_ = at_.step;
  saved_at_ = now();
  return true;
}

/// Where the run stands, the unfinished window included.
TrainingState Trainer::state() {
  TrainingState state;
  state.parameters = on_host(backend_, model_.parameters());
  state.state1 = on_host(backend_, optimizer_.state1());
  state.state2 = on_host(backend_, optimizer_.state2());
  const StepWindow window = measured_.unfinished();
  state.measured = window.stats;
  Cursor saved = at_;
  saved.measured_reviews = window.reviews;
  saved.measured_tokens = window.tokens;
  saved.measured_seconds = window.stats.empty() ? 0 : now() - last_report_;
  state.values = to_metadata(saved);
  return state;
}

void Trainer::save_state() {
  folder_.sync_metrics();
  writer_.start(state());
  writer_.finish();
  saved_step_ = at_.step;
  saved_at_ = now();
}

void Trainer::write_summary() {
  if (!at_.best_test) {
    const SavedModel best = load_model(folder_.model());
    backend_.upload(std::span<const float>(best.parameters), model_.parameters());
    at_.best_test = evaluate_split(data_.test, "test", at_.best_epoch,
                                   readout_of(best.metadata, best.config, folder_.model().string()));
  }
  const Summary summary{.test = *at_.best_test,
                        .best_epoch = at_.best_epoch,
                        .steps = at_.step,
                        .epoch_seconds = at_.epoch_seconds,
                        .parameters = parameter_count(config_.model),
                        .device = backend_.info()};
  reel::write_summary(summary, folder_.summary());
  events_.line(to_text(summary));
}

}  // namespace reel
