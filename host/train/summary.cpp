#include "host/train/summary.h"

#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <numeric>

#include "host/files/file.h"
#include "host/files/json.h"
#include "kernels/check.h"

namespace reel {
namespace {

double train_seconds(const Summary& s) { return std::accumulate(s.epoch_seconds.begin(), s.epoch_seconds.end(), 0.0); }

}  // namespace

std::int64_t peak_rss_bytes() {
  // getrusage would count what the parent held when it forked.
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::int64_t{1024} * std::strtoll(line.c_str() + 6, nullptr, 10);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{1024} * usage.ru_maxrss;
}

void write_summary(const Summary& s, const std::filesystem::path& path) {
  const JsonMembers json = {{"test_accuracy", json_optional(s.test.accuracy)},
                            {"test_macro_f1", json_optional(s.test.macro_f1)},
                            {"test_loss", s.test.loss},
                            {"train_seconds", train_seconds(s)},
                            {"epoch_seconds", json_array(s.epoch_seconds)},
                            {"best_epoch", s.best_epoch},
                            {"steps", s.steps},
                            {"peak_rss_bytes", peak_rss_bytes()},
                            {"device", fmt::format("{} ({})", s.device.name, s.device.instructions)},
                            {"threads", s.device.threads},
                            {"parameters", s.parameters},
                            {"version", REEL_VERSION}};
  write_file(path, to_json(json, JsonLayout::kIndented) + "\n");
}

std::string to_text(const Summary& s) {
  const std::string accuracy = s.test.accuracy ? fmt::format("accuracy {:.2f} %  ", 100 * *s.test.accuracy) : "";
  return fmt::format("test {}loss {:.4f}  (epoch {})  trained {:.1f} s  peak memory {:.0f} MB", accuracy, s.test.loss,
                     s.best_epoch, train_seconds(s), static_cast<double>(peak_rss_bytes()) / 1e6);
}

}  // namespace reel
