// A run is a folder: config.toml, vocab.txt, labels.txt, model.safetensors (best), last/ (to resume), metrics.jsonl,
// summary.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "host/files/file.h"

namespace reel {

/// One line of metrics.jsonl.
struct MetricsLine {
  std::int64_t step = 0, epoch = 0;  // steps done; the epoch they belong to, from 1
  std::string split;                 // train, validation, test
  double loss = 0;
  std::optional<double> accuracy, macro_f1;  // none of a regression; the latter of evaluations
  std::optional<double> grad_norm, lr;       // of training alone
  double seconds = 0;                        // what these steps, or this evaluation, took
  double tokens_per_second = 0;
};

class RunFolder {
 public:
  /// Throws Error when `path` already holds a run.
  static void check_unused(const std::filesystem::path& path);
  /// Makes the folder, which is then this process's alone. Throws Error when it already holds a run, when another
  /// process trains in it, or when it cannot be made.
  static RunFolder create(const std::filesystem::path& path);
  /// The same for runs/DATE-TIME, or DATE-TIME-2 and so on where that is there already.
  static RunFolder create_default();
  /// Opens one to resume. Throws Error when there is no run, or when another process trains in it.
  static RunFolder open(const std::filesystem::path& path);
  /// Takes back what create() made and what was written since, for a run that cannot begin. Removes nothing else.
  void discard() noexcept;

  /// What somebody types to go on with it.
  std::string resume_command() const;

  /// Whether it has got as far as a checkpoint; else a resumed run begins at the beginning.
  bool has_checkpoint() const;

  /// Whether other processes are kept out; some file systems cannot.
  bool is_locked() const { return lock_->works(); }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  std::filesystem::path vocabulary() const { return path_ / "vocab.txt"; }
  std::filesystem::path labels() const { return path_ / "labels.txt"; }
  std::filesystem::path model() const { return path_ / "model.safetensors"; }
  std::filesystem::path state() const { return path_ / "last" / "state.safetensors"; }
  std::filesystem::path summary() const { return path_ / "summary.json"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }

  /// What config.toml says; nothing if there is none.
  std::string config_text() const;

  void append(const MetricsLine& line) const;
  /// Makes those lines survive a power cut: before a checkpoint, which must not be ahead of them.
  void sync_metrics() const;
  /// Takes back the lines that `kept` refuses, which a resumed run will write again.
  void keep_metrics(const std::function<bool(std::int64_t step, const std::string& split)>& kept) const;

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  /// Makes the folders and locks them.
  void prepare();
  /// Removes what a killed process was just writing.
  void remove_abandoned() const;
  /// All that a run may write but the lock.
  std::vector<std::filesystem::path> files() const;
  std::filesystem::path lock_file() const { return path_ / "last" / "lock"; }

  std::filesystem::path path_;
  bool made_ = false, made_last_ = false, made_lock_ = false;  // the folder, last/ or its lock were not there before
  std::optional<FileLock> lock_;
};

}  // namespace reel
