#include "host/train/run_folder.h"

#include <ctime>
#include <new>

#include "host/files/json.h"
#include "host/files/limits.h"
#include "host/files/lines.h"
#include "kernels/check.h"

namespace reel {

namespace fs = std::filesystem;

namespace {

/// The path as a shell takes it for one word.
std::string shell_word(const fs::path& path) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-=:,@%";
  const std::string text = (path.string().starts_with('-') ? "./" : "") + path.string();
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

}  // namespace

std::string RunFolder::resume_command() const { return "reel train --resume " + shell_word(path_); }

void RunFolder::check_unused(const fs::path& path) {
  const RunFolder folder(path);
  if (is_there(folder.config())) {
    fail("{}: holds a run already; --resume {} continues it, another --out starts a new one", path.string(),
         shell_word(path));
  }
  for (const fs::path& file : folder.files()) {
    if (is_there(file)) fail("{}: is there already; another --out starts a run", file.string());
  }
}

RunFolder RunFolder::create(const fs::path& path) {
  check_unused(path);
  RunFolder folder(path);
  folder.made_ = !is_there(path);
  folder.prepare();
  check_unused(path);  // another process may have been faster
  folder.remove_abandoned();
  return folder;
}

RunFolder RunFolder::create_default() {
  const std::time_t now = std::time(nullptr);
  char name[32];
  std::strftime(name, sizeof name, "%Y%m%d-%H%M%S", std::localtime(&now));
  const fs::path runs = "runs";
  create_folders(runs);
  fs::path path = runs / name;
  std::error_code error;
  for (int i = 2; !fs::create_directory(path, error); ++i) {  // false where there is one: another process's
    if (error) fail("{}: cannot be made: {}", path.string(), error.message());
    path = runs / fmt::format("{}-{}", name, i);
  }
  RunFolder folder = create(path);
  folder.made_ = true;
  return folder;
}

RunFolder RunFolder::open(const fs::path& path) {
  RunFolder folder(path);
  const auto need = [&](const fs::path& file) {
    if (!is_there(file)) fail("{}: nothing to resume: no {}", path.string(), file.string());
  };
  need(folder.config());
  need(folder.state().parent_path());
  if (is_there(folder.summary()) && !is_there(folder.state())) {
    fail("{}: finished, and its {} is gone: another --out starts a run", path.string(), folder.state().string());
  }
  folder.prepare();
  folder.remove_abandoned();
  return folder;
}

void RunFolder::prepare() {
  // The folder may be a stranger's; the other files are replaced, not written to.
  for (const fs::path& file : {state().parent_path(), lock_file(), metrics()}) {
    std::error_code error;
    if (fs::is_symlink(file, error)) fail("{}: a link, expected the run's own", file.string());
  }
  made_last_ = !is_there(state().parent_path());
  made_lock_ = !is_there(lock_file());
  create_folders(state().parent_path());
  lock_.emplace(lock_file());
  if (!lock_->held()) fail("{}: another process trains in it", path_.string());
}

void RunFolder::remove_abandoned() const {
  for (const fs::path& file : files()) AtomicFile::remove_abandoned(file);
}

std::vector<fs::path> RunFolder::files() const {
  return {config(), vocabulary(), labels(), model(), state(), summary(), metrics()};
}

void RunFolder::discard() noexcept try {
  std::vector<fs::path> all = files();
  if (made_lock_) all.push_back(lock_file());
  if (made_last_) all.push_back(state().parent_path());
  if (made_) all.push_back(path_);
  std::error_code error;
  for (const fs::path& file : all) fs::remove(file, error);  // a folder only when it is empty
} catch (const std::bad_alloc&) {
  // It stays: --resume begins anew.
}

std::string RunFolder::config_text() const {
  return is_there(config()) ? read_file(config(), kMaxToml + 1) : std::string();
}

bool RunFolder::has_checkpoint() const { return is_there(state()); }

void RunFolder::append(const MetricsLine& line) const {
  const JsonMembers json = {{"step", line.step},
                            {"epoch", line.epoch},
                            {"split", line.split},
                            {"loss", line.loss},
                            {"accuracy", json_optional(line.accuracy)},
                            {"macro_f1", json_optional(line.macro_f1)},
                            {"grad_norm", json_optional(line.grad_norm)},
                            {"lr", json_optional(line.lr)},
                            {"seconds", line.seconds},
                            {"tokens_per_second", line.tokens_per_second}};
  append_to_file(metrics(), to_json(json) + '\n');
}

void RunFolder::sync_metrics() const {
  if (!is_there(metrics())) return;
  sync_file(metrics());
  sync_folder(path_);
}

void RunFolder::keep_metrics(const std::function<bool(std::int64_t, const std::string&)>& kept) const {
  if (!is_there(metrics())) return;
  std::string text;
  for_each_line(read_file(metrics()), [&](std::string_view line) {
    JsonValue json;
    try {
      json = parse_json(line, metrics().string());
    } catch (const Error&) {  // a line that a kill cut off
      return;
    }
    const auto* const step = json.find_if<std::int64_t>("step");
    const auto* const split = json.find_if<std::string>("split");
    if (step != nullptr && split != nullptr && kept(*step, *split)) text.append(line) += '\n';
  });
  write_file(metrics(), text);
}

}  // namespace reel
