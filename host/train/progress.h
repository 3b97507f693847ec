// What a run shows while it trains: a bar on a terminal, plain lines elsewhere.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace reel {

/// The state of a run after some steps; loss, accuracy and speed are those of the steps since the last report.
struct StepReport {
  std::int64_t step = 0, steps_in_all = 0, epoch = 0, epochs = 0;
  double loss = 0;
  std::optional<double> accuracy;  // none of a regression
  double tokens_per_second = 0, seconds_left = 0;
};

/// Writes to standard output or error. Once an InterruptGuard's flag is set, only what is taken without waiting:
/// whoever should read may have stopped.
void put(std::FILE* stream, const std::string& text);
/// A warning as a line on standard error; nothing of "".
void warn(const std::string& what);

class Progress {
 public:
  enum class Style { kBar, kLines, kQuiet };
  explicit Progress(Style style) : style_(style) {}
  /// A bar when standard output is a terminal.
  static Style style_for_stdout(bool quiet);

  void show(const StepReport& report);
  /// A line that stays: on a terminal it takes the place of the bar. Quiet runs show it too...
  void line(const std::string& text);
  /// ...but not this one.
  void note(const std::string& text);
  /// A bar for a download; nothing elsewhere.
  void show_download(std::int64_t received, std::int64_t total);

 private:
  void clear();

  Style style_;
  bool drawn_ = false;
};

/// The bar or line for one report; public for the tests.
std::string progress_text(const StepReport& report, bool bar);

}  // namespace reel
