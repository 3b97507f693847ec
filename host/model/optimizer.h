// Optimizer policy: defaults in each convention, state, clipping. The arithmetic is the operation OptimizerStep.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "host/model/model.h"
#include "kernels/backend.h"
#include "kernels/optimizer_rates.h"

namespace reel {

/// The defaults of keras.optimizers and torch.optim (the table with all formulas stands above the definition).
OptimizerSettings default_settings(OptimizerKind kind, Convention convention);
double default_learning_rate(OptimizerKind kind, Convention convention);

struct Clipping {
  double norm = 0;   // global norm; 0: off
  double value = 0;  // each element, before the norm; 0: off
};

/// When rows of the embedding table that a batch lacks take its step: the bits are the same.
enum class RowUpdates {
  kFaster,
  kEveryStep,
  kWhenRead,  // and a share of the table with each step, so that none lags far
};

template <class Real>
class Optimizer final : private LaggingTable<Real> {
 public:
  /// Keeps a reference to the model.
  Optimizer(Model<Real>& model, const OptimizerSettings& settings, RowUpdates updates = RowUpdates::kFaster)
      : model_(model),
        backend_(model.backend()),
        settings_(settings),
        state1_(backend_.template allocate<Real>(parameter_count(model.config()))),
        scale_(backend_.template allocate<Real>(1)),
        unscaled_(backend_.template allocate<Real>(1)) {
    const Real one = 1;
    backend_.upload(std::span(&one, 1), unscaled_.span());
    if (settings.has_state2()) state2_ = backend_.template allocate<Real>(parameter_count(model.config()));
    if (settings.kind == OptimizerKind::kAdagrad && settings.convention == Convention::kKeras) {
      const std::vector<Real> start(state1_.size(), static_cast<Real>(0.1));
      backend_.upload(std::span<const Real>(start), state1_.span());
    }
    if (updates == RowUpdates::kFaster) updates = faster(model.config(), model.most_rows());
    if (updates == RowUpdates::kEveryStep) return;
    taken_ = backend_.template allocate<std::int32_t>(model.config().vocabulary);
    lazy_.taken = taken_.span();
    model.store().set_lagging(this);
  }
  Optimizer(const Optimizer&) = delete;  // the model refers to it
  Optimizer& operator=(const Optimizer&) = delete;
  ~Optimizer() override {
    if (lazy_.taken.empty()) return;
    model_.store().set_lagging(nullptr);
    try {
      catch_up();
    } catch (...) {  // the device has failed: nothing is read from it any more
    }
  }

  /// Clips the model's gradient, writes its norm to stats[0].grad_norm and updates the parameters.
  void step(double learning_rate, const Clipping& clipping, std::span<BatchStats> stats) {
    count_step(learning_rate);
    enqueue(learning_rate, clipping, stats, nullptr);
  }

  /// learning_rate(s) is that of step s, which counts from 0.
  using LearningRate = std::function<double(std::int64_t step)>;
  /// For steps of a clock in backend memory, which are enqueued once and then run again and again: their learning rates
  /// are put into backend memory `ahead` steps at a time.
  void follow(const StepClock* clock, LearningRate learning_rate, std::int64_t ahead) {
    clock_ = clock;
    learning_rate_ = std::move(learning_rate);
    rates_ = backend_.template allocate<StepRates<Real>>(ahead + LazyRows::kMaxLag);
  }
  /// The same as above, of the clock's step.
  void step(const Clipping& clipping, std::span<BatchStats> stats) { enqueue(0, clipping, stats, clock_); }
  /// Such a step has been enqueued, or runs again.
  void count_step() { count_step(learning_rate_(steps_)); }
  /// Whether the next one's rates are in backend memory; otherwise put_rates(), which waits for the device.
  bool has_rates() const { return steps_ < known_steps_; }
  void put_rates() {
    std::vector<StepRates<Real>> rates(rates_.size());
    fill_rates(
        settings_, [this](std::int64_t step) { return learning_rate_(step - 1); }, steps_ + 1, std::span(rates));
    backend_.upload(std::span<const StepRates<Real>>(rates), rates_.span());
    known_steps_ = steps_ + static_cast<std::int64_t>(rates.size()) - LazyRows::kMaxLag;
  }

  /// For checkpoints: state buffers (state2 may be empty), up to date, and the step count.
  std::span<Real> state1() {
    catch_up();
    return state1_.span();
  }
  std::span<Real> state2() {
    catch_up();
    return state2_.span();
  }
  /// Parameters and state are those after so many steps.
  void set_steps_taken(std::int64_t steps) {
    steps_ = steps;
    known_steps_ = 0;
    lags_ = false;
    const std::vector<std::int32_t> taken(lazy_.taken.size(), static_cast<std::int32_t>(steps));
    backend_.upload(std::span<const std::int32_t>(taken), lazy_.taken);
  }

 private:
  /// A row that a batch reads is touched twice, before its pass and after; a small table is in the caches anyway
  /// (bench/notes.md).
  static RowUpdates faster(const ModelConfig& config, std::int64_t most_rows) {
    constexpr std::int64_t kElements = 1 << 20;
    const bool rare = config.vocabulary >= 2 * most_rows && config.vocabulary * config.embedding >= kElements;
    return rare ? RowUpdates::kWhenRead : RowUpdates::kEveryStep;
  }

  void count_step(double learning_rate) {
    ++steps_;
    lags_ = !lazy_.taken.empty();
    lazy_.learning_rates[static_cast<std::size_t>(steps_ % LazyRows::kMaxLag)] = learning_rate;
  }
  /// Of the clock's step, or without a clock of the one that was counted last.
  void enqueue(double learning_rate, const Clipping& clipping, std::span<BatchStats> stats, const StepClock* clock) {
    const ParameterGradient<Real> gradient = model_.gradient();
    const bool scales = clipping.norm > 0;
    backend_.run(ClipGradient<Real>{.gradient = gradient,
                                    .clip_value = clipping.value,
                                    .clip_norm = clipping.norm,
                                    .scale = scales ? scale_.span() : std::span<Real>(),
                                    .stats = stats,
                                    .clock = clock});
    backend_.run(OptimizerStep<Real>{.settings = settings_,
                                     .step = steps_,
                                     .learning_rate = learning_rate,
                                     .gradient = gradient,
                                     .scale = scales ? scale_.span() : unscaled_.span(),
                                     .parameters = model_.store().lagging_values(),
                                     .state1 = state1_.span(),
                                     .state2 = state2_.span(),
                                     .lazy = lazy_,
                                     .clock = clock,
                                     .rates = rates(clock)});
  }

  void catch_up() override {
    if (std::exchange(lags_, false)) catch_up({}, nullptr);
  }
  void catch_up(const TokenIndex& index, const StepClock* clock) override {
    backend_.run(CatchUp<Real>{.settings = settings_,
                               .step = steps_,
                               .embedding = model_.config().embedding,
                               .index = index,
                               .parameters = model_.store().lagging_values(),
                               .state1 = state1_.span(),
                               .state2 = state2_.span(),
                               .lazy = lazy_,
                               .clock = clock,
                               .rates = rates(clock)});
  }
  std::span<const StepRates<Real>> rates(const StepClock* clock) const {
    return clock == nullptr ? std::span<const StepRates<Real>>() : rates_.span();
  }

  Model<Real>& model_;
  Backend<Real>& backend_;
  OptimizerSettings settings_;
  std::int64_t steps_ = 0;
  Buffer<Real> state1_, state2_, scale_, unscaled_;  // unscaled_ is 1
  LazyRows lazy_;
  Buffer<std::int32_t> taken_;
  bool lags_ = false;  // some row

  const StepClock* clock_ = nullptr;  // that steps follow
  LearningRate learning_rate_;
  Buffer<StepRates<Real>> rates_;  // see OptimizerStep
  std::int64_t known_steps_ = 0;   // whose rates stand there, or stood
};

}  // namespace reel
