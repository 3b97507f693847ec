#include "host/train/progress.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "host/files/interrupt.h"
#include "kernels/error.h"

namespace reel {
namespace {

constexpr int kBarWidth = 24;

std::string bar_of(double share) {
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * kBarWidth);
  return '[' + std::string(static_cast<std::size_t>(full), '=') +
         std::string(static_cast<std::size_t>(kBarWidth - full), ' ') + ']';
}

std::string clock(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::ceil(seconds));
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

/// Waits until more is taken. False: an interruption came first.
bool is_taken(std::FILE* stream) {
  constexpr int kMilliseconds = 100;
  pollfd output{.fd = ::fileno(stream), .events = POLLOUT, .revents = 0};
  while (::poll(&output, 1, kMilliseconds) == 0) {
    if (InterruptGuard::signal() != 0) return false;
  }
  return true;
}

}  // namespace

void put(std::FILE* stream, const std::string& text) {
  if (!is_taken(stream)) return;
  std::fputs(text.c_str(), stream);
  std::fflush(stream);
}

void warn(const std::string& what) {
  if (!what.empty()) put(stderr, fmt::format("reel: warning: {}\n", printable(what, SIZE_MAX)));
}

std::string progress_text(const StepReport& r, bool bar) {
  const double share = r.steps_in_all > 0 ? static_cast<double>(r.step) / static_cast<double>(r.steps_in_all) : 0;
  const std::string front = bar ? bar_of(share) + ' ' : "";
  const std::string accuracy = r.accuracy ? fmt::format("  accuracy {:.1f} %", 100 * *r.accuracy) : "";
  return fmt::format("{}epoch {}/{}  step {}/{}  loss {:.4f}{}  {:.0f} thousand tokens/s  {} left", front, r.epoch,
                     r.epochs, r.step, r.steps_in_all, r.loss, accuracy, r.tokens_per_second / 1000,
                     clock(r.seconds_left));
}

Progress::Style Progress::style_for_stdout(bool quiet) {
  if (quiet) return Style::kQuiet;
  return ::isatty(STDOUT_FILENO) ? Style::kBar : Style::kLines;
}

void Progress::clear() {
  if (drawn_) put(stdout, "\r\x1b[K");
  drawn_ = false;
}

void Progress::show(const StepReport& report) {
  if (style_ == Style::kQuiet) return;
  clear();
  put(stdout, progress_text(report, style_ == Style::kBar));
  if (style_ == Style::kLines) put(stdout, "\n");
  drawn_ = style_ == Style::kBar;
}

void Progress::line(const std::string& text) {
  clear();
  put(stdout, printable(text, SIZE_MAX) + '\n');
}

void Progress::note(const std::string& text) {
  if (style_ != Style::kQuiet) line(text);
}

void Progress::show_download(std::int64_t received, std::int64_t total) {
  if (style_ != Style::kBar || total <= 0) return;
  clear();
  const double share = static_cast<double>(received) / static_cast<double>(total);
  put(stdout, fmt::format("{} {:.0f} of {:.0f} MB", bar_of(share), static_cast<double>(received) / 1e6,
                          static_cast<double>(total) / 1e6));
  drawn_ = true;
}

}  // namespace reel
