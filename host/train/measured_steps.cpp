#include "host/train/measured_steps.h"

#include <cstring>
#include <utility>

#include "kernels/check.h"

namespace reel {

MeasuredSteps::MeasuredSteps(Backend<float>& backend, std::int64_t steps_per_window)
    : backend_(backend),
      steps_per_window_(steps_per_window),
      stats_(backend.allocate<BatchStats>(2 * steps_per_window)) {
  windows_[1].first_slot = steps_per_window;
  for (Window& window : windows_) {
    window.readback = backend.make_readback(static_cast<std::size_t>(steps_per_window) * sizeof(BatchStats));
  }
}

std::int64_t MeasuredSteps::next_slot() const { return (now_->first_slot + now_->steps) % (2 * steps_per_window_); }

void MeasuredSteps::add(std::int64_t reviews, std::int64_t tokens) {
  ++now_->steps;
  now_->reviews += reviews;
  now_->tokens += tokens;
}

StepWindow MeasuredSteps::unfinished() {
  StepWindow window{.reviews = now_->reviews, .tokens = now_->tokens};
  window.stats.resize(static_cast<std::size_t>(now_->steps));
  backend_.download(std::span<const BatchStats>(stats_of(*now_)), std::span(window.stats));
  return window;
}

void MeasuredSteps::restore(const StepWindow& window) {
  const auto steps = static_cast<std::int64_t>(window.stats.size());
  REEL_CHECK(now_->steps == 0 && steps < room(), "a window of {} steps for {}", steps, room());
  now_->steps = steps;
  backend_.upload(std::span<const BatchStats>(window.stats), stats_of(*now_));
  now_->reviews = window.reviews;
  now_->tokens = window.tokens;
}

void MeasuredSteps::read(std::int64_t last_step) {
  if (now_->steps == 0) return;
  REEL_CHECK(reading_->steps == 0, "{} steps not taken", reading_->steps);
  now_->last_step = last_step;
  now_->readback->start(std::as_bytes(stats_of(*now_)));
  std::swap(now_, reading_);
}

std::optional<StepWindow> MeasuredSteps::take(bool wait) {
  Window& read = *reading_;
  if (read.steps == 0 || (!wait && !read.readback->ready())) return std::nullopt;
  StepWindow window{.last_step = read.last_step, .reviews = read.reviews, .tokens = read.tokens};
  const std::span<const std::byte> bytes = read.readback->wait();
  window.stats.resize(static_cast<std::size_t>(read.steps));
  std::memcpy(window.stats.data(), bytes.data(), bytes.size());
  read.steps = read.reviews = read.tokens = 0;
  return window;
}

}  // namespace reel
