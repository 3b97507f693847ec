// summary.json: what a run came to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/predict/evaluate.h"
#include "kernels/backend.h"

namespace reel {

struct Summary {
  Scores test;
  std::int64_t best_epoch = 0, steps = 0;
  std::vector<double> epoch_seconds;  // of training alone; their sum is train_seconds
  std::int64_t parameters = 0;
  DeviceInfo device;
};

void write_summary(const Summary& summary, const std::filesystem::path& path);
/// The same for people, in one line.
std::string to_text(const Summary& summary);

/// The most memory this process has held so far.
std::int64_t peak_rss_bytes();

}  // namespace reel
