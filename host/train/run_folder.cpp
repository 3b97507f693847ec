#include "host/train/run_folder.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "host/files/file.h"
#include "kernels/check.h"

namespace reel {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

void RunFolder::check_unused(const fs::path& path) {
  if (!fs::exists(RunFolder(path).config())) return;
  fail("{}: holds a run already; --resume {} continues it, another --out starts a new one", path.string(),
       path.string());
}

RunFolder RunFolder::create(const fs::path& path) {
  check_unused(path);
  RunFolder folder(path);
  folder.prepare();
  return folder;
}

RunFolder RunFolder::open(const fs::path& path) {
  RunFolder folder(path);
  if (!fs::exists(folder.config())) fail("{}: nothing to resume: no {}", path.string(), folder.config().string());
  folder.prepare();
  return folder;
}

void RunFolder::prepare() const {
  std::error_code error;
  fs::create_directories(state().parent_path(), error);
  if (error) fail("{}: cannot be made: {}", path_.string(), error.message());
  for (const fs::path& file : {config(), vocabulary(), model(), state(), summary(), metrics()}) {
    AtomicFile::remove_abandoned(file);
  }
}

bool RunFolder::has_checkpoint() const { return fs::exists(state()); }

fs::path RunFolder::default_path() {
  const std::time_t now = std::time(nullptr);
  char name[32];
  std::strftime(name, sizeof name, "%Y%m%d-%H%M%S", std::localtime(&now));
  fs::path path = fs::path("runs") / name;
  for (int i = 2; fs::exists(path); ++i) path = fs::path("runs") / fmt::format("{}-{}", name, i);
  return path;
}

void RunFolder::append(const MetricsLine& line) const {
  const auto optional = [](const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); };
  const Json json = {
      {"step", line.step},       {"epoch", line.epoch},       {"split", line.split},
      {"loss", line.loss},       {"accuracy", line.accuracy}, {"grad_norm", optional(line.grad_norm)},
      {"lr", optional(line.lr)}, {"seconds", line.seconds},   {"tokens_per_second", line.tokens_per_second}};
  std::ofstream file(metrics(), std::ios::app);
  file << json.dump() << '\n' << std::flush;
  if (!file) fail("{}: cannot be written: {}", metrics().string(), std::strerror(errno));
}

void RunFolder::forget_metrics_after(std::int64_t step) const {
  if (!fs::exists(metrics())) return;
  std::istringstream lines(read_file(metrics()));
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_object() && json.value("step", step + 1) <= step) kept += line + '\n';
  }
  write_file(metrics(), kept);
}

}  // namespace reel
