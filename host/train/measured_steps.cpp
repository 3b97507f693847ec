#include "host/train/measured_steps.h"

#include <cstring>
#include <utility>

#include "kernels/check.h"

namespace reel {

MeasuredSteps::MeasuredSteps(Backend<float>& backend, std::int64_t steps_per_window) : backend_(backend) {
  for (Slot& slot : slots_) {
    slot.stats = backend.allocate<BatchStats>(steps_per_window);
    slot.readback = backend.make_readback(slot.stats.size() * sizeof(BatchStats));
  }
}

std::span<BatchStats> MeasuredSteps::next() { return now_->stats.span(static_cast<std::size_t>(now_->steps), 1); }

void MeasuredSteps::add(std::int64_t reviews, std::int64_t tokens) {
  ++now_->steps;
  now_->reviews += reviews;
  now_->tokens += tokens;
}

StepWindow MeasuredSteps::unfinished() {
  StepWindow window{.reviews = now_->reviews, .tokens = now_->tokens};
  window.stats.resize(static_cast<std::size_t>(now_->steps));
  backend_.download(std::as_const(now_->stats).span(0, window.stats.size()), std::span(window.stats));
  return window;
}

void MeasuredSteps::restore(const StepWindow& window) {
  REEL_CHECK(now_->steps == 0 && window.stats.size() < now_->stats.size(), "a window of {} steps for {}",
             window.stats.size(), now_->stats.size());
  backend_.upload(std::span<const BatchStats>(window.stats), now_->stats.span(0, window.stats.size()));
  now_->steps = static_cast<std::int64_t>(window.stats.size());
  now_->reviews = window.reviews;
  now_->tokens = window.tokens;
}

void MeasuredSteps::read(std::int64_t last_step) {
  if (now_->steps == 0) return;
  REEL_CHECK(reading_->steps == 0, "{} steps not taken", reading_->steps);
  now_->last_step = last_step;
  now_->readback->start(std::as_bytes(now_->stats.span(0, static_cast<std::size_t>(now_->steps))));
  std::swap(now_, reading_);
}

std::optional<StepWindow> MeasuredSteps::take(bool wait) {
  Slot& slot = *reading_;
  if (slot.steps == 0 || (!wait && !slot.readback->ready())) return std::nullopt;
  StepWindow window{.last_step = slot.last_step, .reviews = slot.reviews, .tokens = slot.tokens};
  const std::span<const std::byte> bytes = slot.readback->wait();
  window.stats.resize(static_cast<std::size_t>(slot.steps));
  std::memcpy(window.stats.data(), bytes.data(), bytes.size());
  slot.steps = slot.reviews = slot.tokens = 0;
  return window;
}

}  // namespace reel
