// What a training run leaves in its folder, and how it goes on from there.
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/files/toml.h"
#include "host/train/summary.h"
#include "host/train/trainer.h"
#include "host/train/training_state.h"
#include "kernels/check.h"

namespace reel {

namespace {

/// Throws Error where config.toml is no longer what the checkpoint was made with, but for what may be said anew.
void check_same_flags(const std::string& saved, const RunFolder& folder) {
  if (saved.empty()) return;  // as 0.1.0 wrote it
  const std::string path = folder.config().string();
  auto then = parse_toml(saved, folder.state().string() + ": config"), now = parse_toml(folder.config_text(), path);
  for (const std::string_view key : kFreeOnResume) {
    then.erase(std::string(key));
    now.erase(std::string(key));
  }
  for (const auto& [key, value] : then) now.try_emplace(key, "");
  for (const auto& [key, value] : now) {
    if (then[key] == value) continue;
    fail("{}: {} is '{}', but was '{}' when the run began; a resumed run keeps the flags that it was started with",
         path, key, value, then[key]);
  }
}

}  // namespace

/// A checkpoint says where in which epoch it was made, and what was counted until then.
void Trainer::check(const Cursor& cursor, std::int64_t measured_steps) const {
  const auto counts = [](std::initializer_list<std::int64_t> numbers, std::int64_t most) {
    return std::ranges::all_of(numbers, [most](std::int64_t n) { return n >= 0 && n <= most; });
  };
  const std::string state = folder_.state().string();
  const std::int64_t reviews = data_.train.size(), tokens = reviews * data_.train.steps;
  const std::optional<Evaluation>& e = cursor.best_test;
  if (!counts({cursor.epochs_done, cursor.best_epoch, cursor.epochs_without_gain}, config_.epochs) ||
      !counts({cursor.measured_reviews}, reviews) || !counts({cursor.measured_tokens}, tokens) ||
      (e && !counts({e->true_positive, e->false_positive, e->true_negative, e->false_negative}, data_.test.size()))) {
    fail("{}: counts that {} epochs of these reviews cannot have", state, config_.epochs);
  }
  const std::int64_t first = cursor.epochs_done * steps_per_epoch();
  const bool began = std::ssize(cursor.epoch_seconds) == cursor.epochs_done + 1;
  if (cursor.step < first || cursor.step > first + (began ? steps_per_epoch() : 0) ||
      (!began && std::ssize(cursor.epoch_seconds) != cursor.epochs_done) || measured_steps > cursor.step - first) {
    fail(
        "{}: step {} after {} epochs, but an epoch of these reviews has {} steps: expected the --batch-size and the "
        "data that the run was started with",
        state, cursor.step, cursor.epochs_done, steps_per_epoch());
  }
}

void Trainer::resume() {
  if (!folder_.has_checkpoint()) return folder_.keep_metrics([](std::int64_t, const std::string&) { return false; });
  TrainingState state = load_training_state(folder_.state());
  const Cursor cursor = cursor_of(state.values, folder_.state().string());
  check_same_flags(cursor.config, folder_);
  if (cursor.data_checksum != data_.checksum) {
    fail("{}: trained on data with checksum {}, but {} has {}", folder_.path().string(), cursor.data_checksum,
         data_.source, data_.checksum);
  }
  check(cursor, std::ssize(state.measured));
  if (is_there(folder_.vocabulary()) && read_file(folder_.vocabulary()) != data_.vocabulary.text()) {
    fail("{}: not the words that the run was started with; remove it to have it made anew",
         folder_.vocabulary().string());
  }
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
  step_ = saved_step_ = cursor.step;
  epochs_done_ = cursor.epochs_done;
  best_epoch_ = cursor.best_epoch;
  best_accuracy_ = cursor.best_accuracy;
  best_test_ = cursor.best_test;
  epochs_without_gain_ = cursor.epochs_without_gain;
  epoch_seconds_ = cursor.epoch_seconds;
  folder_.keep_metrics([this](std::int64_t step, const std::string& split) {
    if (split == "train") return step <= step_;
    // Evaluations of epochs that are done; others are made anew, and so are tests of an end that this run goes beyond.
    const bool of_an_epoch = step % steps_per_epoch() == 0 && (split != "test" || config_.test_each_epoch);
    return of_an_epoch && step <= epochs_done_ * steps_per_epoch();
  });
  const StepWindow window{.last_step = step_,
                          .reviews = cursor.measured_reviews,
                          .tokens = cursor.measured_tokens,
                          .stats = std::move(state.measured)};
  measured_seconds_ = cursor.measured_seconds;
  if (measured_.room() > static_cast<std::int64_t>(window.stats.size())) return measured_.restore(window);
  last_report_ = now() - std::exchange(measured_seconds_, 0);  // --log-every is shorter than it was
  report(window);
}

void Trainer::save_best() const {
  std::vector<float> weights(model_.parameters().size());
  backend_.download(model_.parameters(), std::span(weights));
  Metadata metadata = to_metadata(config_.preprocessing);
  metadata[kTrainedOn] = data_.checksum;
  metadata[kWordsOf] = text_crc32(data_.vocabulary.text());
  save_model(folder_.model(), config_.model, weights, metadata);
}

bool Trainer::checkpoint_is_due() const {
  if (step_ == saved_step_) return false;
  const CheckpointInterval& every = config_.checkpoint_every;
  if (every.steps > 0) return step_ % every.steps == 0;
  return every.minutes > 0 && now() - saved_at_ >= 60 * every.minutes;
}

bool Trainer::save_checkpoint() {
  if (!report(measured_.take(true))) return false;  // the window before this one
  TrainingState saved = state();
  const bool finite =
      std::ranges::all_of(saved.parameters, [](float weight) { return std::isfinite(weight); }) &&
      std::ranges::all_of(saved.measured, [](const BatchStats& s) { return std::isfinite(s.loss_sum + s.grad_norm); });
  if (!finite) return flush_and_check_weights();  // says so
  folder_.sync_metrics();
  writer_.start(std::move(saved));
  saved_step_ = step_;
  saved_at_ = now();
  return true;
}

/// Where the run stands, the unfinished window included.
TrainingState Trainer::state() {
  TrainingState state;
  const auto download = [&](std::span<const float> from, std::vector<float>& to) {
    to.resize(from.size());
    backend_.download(from, std::span(to));
  };
  download(model_.parameters(), state.parameters);
  download(optimizer_.state1(), state.state1);
  download(optimizer_.state2(), state.state2);
  const StepWindow window = measured_.unfinished();
  state.measured = window.stats;
  state.values = to_metadata(Cursor{.config = config_text_,
                                    .data_checksum = data_.checksum,
                                    .step = step_,
                                    .epochs_done = epochs_done_,
                                    .best_epoch = best_epoch_,
                                    .epochs_without_gain = epochs_without_gain_,
                                    .best_accuracy = best_accuracy_,
                                    .best_test = best_test_,
                                    .epoch_seconds = epoch_seconds_,
                                    .measured_reviews = window.reviews,
                                    .measured_tokens = window.tokens,
                                    .measured_seconds = window.stats.empty() ? 0 : now() - last_report_});
  return state;
}

void Trainer::save_state() {
  folder_.sync_metrics();
  writer_.start(state());
  writer_.finish();
  saved_step_ = step_;
  saved_at_ = now();
}

void Trainer::write_summary() {
  if (!best_test_) {
    const SavedModel best = load_model(folder_.model());
    backend_.upload(std::span<const float>(best.parameters), model_.parameters());
    best_test_ = evaluate_split(data_.test, "test", (step_ + steps_per_epoch() - 1) / steps_per_epoch());
  }
  const Summary summary{.test = *best_test_,
                        .best_epoch = best_epoch_,
                        .steps = step_,
                        .epoch_seconds = epoch_seconds_,
                        .parameters = parameter_count(config_.model),
                        .device = backend_.info()};
  reel::write_summary(summary, folder_.summary());
  events_.line(to_text(summary));
}

}  // namespace reel
