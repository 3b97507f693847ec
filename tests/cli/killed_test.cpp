// Runs that are killed, at any moment: they go on as if nothing had happened.
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "host/model/checkpoint.h"
#include "kernels/philox.h"
#include "tests/cli/program.h"

namespace reel {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// Everything of a run that does not tell time.
struct Trained {
  std::vector<float> model, parameters, state1, state2;
  std::vector<std::string> metrics;
  bool operator==(const Trained&) const = default;
};

class KilledRun : public Program {
 protected:
  /// Trains into the folder `name`, or goes on with what is there; the command line of it.
  std::string train(const std::string& name) {
    if (std::filesystem::exists(folder_ / name / "config.toml")) return "train --resume " + name;
    return "train --data " + data() + flags_ + " --out " + name;
  }

  std::string data() {
    std::string text = "text,label\n";
    for (int i = 0; i < 90; ++i) {
      for (int word = 0; word < 1 + i * 7 % 11; ++word) text += "w" + std::to_string((i * 31 + word * 17) % 40) + " ";
      text += i % 2 == 0 ? "dull,0\n" : "warm,1\n";
    }
    return folder_.write("data.csv", text).string();
  }

  Trained finished(const std::string& name) {
    const Result result = reel(train(name));
    EXPECT_EQ(result.code, 0) << result.err;
    const TrainingState state = load_training_state(folder_ / name / "last" / "state.safetensors");
    Trained run{.model = load_model(folder_ / name / "model.safetensors").parameters,
                .parameters = state.parameters,
                .state1 = state.state1,
                .state2 = state.state2};
    std::istringstream lines(contents(folder_ / name / "metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      json values = json::parse(line);
      values.erase("seconds");
      values.erase("tokens_per_second");
      run.metrics.push_back(values.dump());
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / name)) {
      EXPECT_THAT(entry.path().filename().string(), testing::Not(testing::HasSubstr(".tmp-"))) << "a temporary file";
    }
    return run;
  }

  std::string flags_ =
      " --batch-size 8 --embedding-dim 4 --hidden-size 6 --maxlen 12 --threads 1 --epochs 2 --log-every 3"
      " --checkpoint-every 2";
};

TEST_F(KilledRun, AtAnyMomentGoesOn) {
  flags_ += " --epochs 60";
  const auto begin = std::chrono::steady_clock::now();
  const Trained expected = finished("whole");
  const double whole = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const int moments = deep() ? 300 : 30;
  for (int i = 0; i < moments; ++i) {
    const std::string name = "killed" + std::to_string(i);
    const RandomKey key{.seed = test_seed(), .step = static_cast<std::uint64_t>(i)};
    std::string when;
    for (std::uint64_t kill = 0; kill <= random_bits(key, 99) % 3; ++kill) {  // once, twice, three times
      const std::string seconds = fmt::format("{:.4f}", whole * random_uniform(key, kill));
      when += seconds + " ";
      // In the foreground it waits until the killed process is gone: writing to a slow disk, that can hold its lock for
      // long.
      reel(train(name), "", "timeout --foreground -s KILL " + seconds);
    }
    EXPECT_EQ(finished(name), expected) << "killed after " << when << "seconds of " << whole;
    std::filesystem::remove_all(folder_ / name);
  }
}

class KilledSave : public KilledRun {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(failing_calls())) GTEST_SKIP() << "needs the library of failing calls beside";
  }
  bool has_whole_checkpoint(const std::string& name) {
    const std::filesystem::path state = folder_ / name / "last" / "state.safetensors";
    if (!std::filesystem::exists(state)) return false;
    load_training_state(state);
    return true;
  }
};

/// Each call of each save in turn is the process's last. From the first save on there is always a whole one.
TEST_F(KilledSave, AtEachOfItsCallsGoesOn) {
  const Trained expected = finished("whole");
  for (const char* file : {"state.safetensors", "model.safetensors", "config.toml"}) {
    int n = 1;
    bool saved = false;
    for (;; ++n) {
      SCOPED_TRACE(fmt::format("{}, call {}", file, n));
      std::filesystem::remove_all(folder_ / "run");
      const Result result = reel(train("run"), "", fault("kill", file, n));
      if (result.code == 0) break;
      EXPECT_EQ(result.code, 137) << result.err;
      const bool whole = has_whole_checkpoint("run");
      EXPECT_TRUE(whole || !saved);
      saved = whole;
      EXPECT_EQ(finished("run"), expected);
    }
    EXPECT_GE(n, 4) << "at least a write, a sync and a rename";
  }
}

TEST_F(KilledSave, OnAFullDiskIsOneLineAndGoesOnLater) {
  const Trained expected = finished("whole");
  const std::string path = (folder_ / "run").string();  // everything in it, and itself
  for (int n = 1, in_a_row = 0; in_a_row < 3; ++n) {
    SCOPED_TRACE(fmt::format("call {}", n));
    std::filesystem::remove_all(folder_ / "run");
    const Result result = reel(train("run"), "", fault("full", path, n));
    // A folder that cannot be synced is no error: not every file system can.
    in_a_row = result.code == 0 ? in_a_row + 1 : 0;
    if (result.code != 0) expect_one_line(result, 1, "No space left on device");
    EXPECT_EQ(finished("run"), expected);
    ASSERT_LT(n, 1000);
  }
}

/// A write may do less than it was asked to, or be interrupted by a signal.
TEST_F(KilledSave, WritesThatGoOnLoseNothing) {
  const Trained expected = finished("whole");
  for (const char* kind : {"write-short", "write-interrupted"}) {
    for (int n = 1; n <= (deep() ? 200 : 20); ++n) {
      SCOPED_TRACE(fmt::format("{} at call {}", kind, n));
      std::filesystem::remove_all(folder_ / "run");
      const Result result = reel(train("run"), "", fault(kind, (folder_ / "run").string(), n));
      ASSERT_EQ(result.code, 0) << result.err;
      EXPECT_EQ(finished("run"), expected);
    }
  }
}

/// The first call on any of these files opens the temporary one.
TEST_F(KilledSave, ATemporaryNameThatIsTakenIsNoError) {
  for (const char* file : {"state.safetensors", "model.safetensors", "vocab.txt"}) {
    std::filesystem::remove_all(folder_ / "run");
    const Result result = reel(train("run"), "", fault("exists", file, 1));
    EXPECT_EQ(result.code, 0) << file << ": " << result.err;
  }
}

/// The prepared folder of before stays whole. Where a renaming fails there may be none, but never a bit of each.
TEST_F(KilledSave, PreparingOnAFullDiskLosesNothing) {
  const std::string path = (folder_ / "prepared").string();
  ASSERT_EQ(reel("prepare --data " + fixture("aclImdb.tar.gz").string() + " --out prepared").code, 0);
  const std::string before = contents(folder_ / "prepared" / "prepared.json");
  int failed = 0;
  for (int n = 1, in_a_row = 0; in_a_row < 3; ++n) {
    SCOPED_TRACE(fmt::format("call {}", n));
    const Result result = reel("prepare --data " + data() + " --out prepared", "", fault("full", path, n));
    in_a_row = result.code == 0 ? in_a_row + 1 : 0;
    if (result.code != 0) {
      ++failed;
      expect_one_line(result, 1, "No space left on device");
      const bool renaming = result.err.find("cannot be replaced") != std::string::npos;
      EXPECT_EQ(contents(folder_ / "prepared" / "prepared.json"), renaming ? "" : before);
      EXPECT_EQ(reel("prepare --data prepared --out again").code, renaming ? 1 : 0);
    }
    ASSERT_EQ(reel("prepare --data " + fixture("aclImdb.tar.gz").string() + " --out prepared").code, 0);
    ASSERT_LT(n, 1000);
  }
  EXPECT_GT(failed, 5);
}

/// A power cut must not find the new name and not the new bytes, nor a checkpoint and not the metrics before it.
TEST_F(KilledSave, SyncsEveryFileBeforeItRenamesIt) {
  ASSERT_EQ(reel(train("run"), "", fault("none", "none", 0) + " REEL_FAULT_LOG=log").code, 0);
  std::istringstream lines(contents(folder_ / "log"));
  std::set<std::string> synced;
  int renamed = 0, checkpoints = 0, metrics_synced = 0;
  std::set<std::string> renamed_in;  // folders whose new names are not synced yet
  for (std::string line; std::getline(lines, line);) {
    const std::string file = std::filesystem::path(line).filename();
    if (line.starts_with("fsync ")) synced.insert(file);
    metrics_synced += line.starts_with("fsync ") && file == "metrics.jsonl";
    const auto absolute = [&](const std::string& path) { return (folder_.path() / path).lexically_normal().string(); };
    if (line.starts_with("fsync ")) renamed_in.erase(absolute(line.substr(6)));
    if (!line.starts_with("rename ")) continue;
    renamed_in.insert(absolute(std::filesystem::path(line.substr(7)).parent_path()));
    ++renamed;
    EXPECT_TRUE(synced.contains(file)) << line;
    if (!file.starts_with("state.safetensors")) continue;
    EXPECT_GE(metrics_synced, checkpoints) << line;  // before the first there are none
    ++checkpoints;
  }
  EXPECT_THAT(renamed_in, testing::IsEmpty());
  EXPECT_GT(renamed, 8);
}

/// The same for what reads: the data, the run's files, standard input.
TEST_F(KilledSave, ReadsThatFailAreOneLineAndOthersGoOn) {
  const Trained expected = finished("whole");
  ASSERT_EQ(reel(train("stopped") + " --max-steps 7").code, 0);
  for (const char* file : {"aclImdb.tar.gz", "imdb.npz"}) std::filesystem::copy_file(fixture(file), folder_ / file);
  folder_.write("rows.jsonl", "{\"text\": \"warm\", \"label\": 1}\n{\"text\": \"dull\", \"label\": 0}\n");
  ASSERT_EQ(reel("prepare --data rows.jsonl --out prepared").code, 0);
  const std::string prepare = "prepare --out again --data ";
  const std::string commands[] = {"eval whole --data data.csv",
                                  "predict whole",
                                  "info whole",
                                  "train --config whole/config.toml --out again",
                                  "train --resume again",
                                  prepare + "aclImdb.tar.gz",
                                  prepare + "imdb.npz",
                                  prepare + "rows.jsonl",
                                  prepare + "prepared"};
  for (const std::string& command : commands) {
    const std::string path = command.starts_with("train --config") ? "config.toml" : folder_.path().string();
    const auto run = [&](const std::string& environment) {
      std::filesystem::remove_all(folder_ / "again");
      if (command == "train --resume again") {
        std::filesystem::copy(folder_ / "stopped", folder_ / "again", std::filesystem::copy_options::recursive);
      }
      Result result = reel(command, "warm\ndull\n", environment);
      result.out = command.starts_with("train") ? "" : result.out;  // tells time
      return result;
    };
    const Result whole = run("");
    ASSERT_EQ(whole.code, 0) << whole.err;
    for (const char* kind : {"error", "interrupted", "short"}) {
      int failed = 0;
      for (int n = 1, in_a_row = 0; in_a_row < 3; ++n) {
        SCOPED_TRACE(fmt::format("{}: {} at call {}", command, kind, n));
        const Result result = run(fault(kind, path, n));
        in_a_row = result.code == 0 ? in_a_row + 1 : 0;
        if (result.code == 0) {
          EXPECT_EQ(result.out, whole.out);
        } else {
          expect_one_line(result, 1, "cannot be read");
          ++failed;
        }
        ASSERT_LT(n, 1000);
      }
      EXPECT_EQ(failed > 0, std::string(kind) == "error") << command << ": " << kind;
    }
  }
}

/// From the first opening of a file of the folder on. Of C's malloc too, but not of what libarchive allocates: without
/// memory it ends the program itself.
TEST_F(KilledSave, MemoryThatRunsOutIsOneLine) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers have their own malloc";
#endif
  finished("whole");
  for (const char* file : {"aclImdb.tar.gz", "imdb.npz"}) std::filesystem::copy_file(fixture(file), folder_ / file);
  folder_.write("rows.csv", "text,label\n\"warm, very\",1\ndull,0\n");
  folder_.write("rows.jsonl", "{\"text\": \"warm\", \"label\": 1}\n{\"text\": \"dull\", \"label\": 0}\n");
  for (const char* name : {"train/pos/0_9", "train/neg/0_1", "test/pos/0_9", "test/neg/0_1"}) {
    folder_.write(fmt::format("aclImdb/{}.txt", name), "film");
  }
  ASSERT_EQ(reel("prepare --data rows.jsonl --out prepared").code, 0);
  const std::string prepare = "prepare --out again --data ";
  const std::pair<std::string, std::string> commands[] = {
      {"predict whole warm", "memory"},
      {"info whole", "memory"},
      {"predict whole --input ids", "memory"},
      {prepare + "rows.csv", "memory"},
      {prepare + "rows.jsonl", "memory"},
      {prepare + "aclImdb", "memory"},
      {prepare + "prepared", "memory"},
      {prepare + "aclImdb.tar.gz", "memory-of-cpp"},
      {prepare + "imdb.npz", "memory-of-cpp"},
      {"eval whole --data rows.csv", "memory-of-cpp"},
      {"train --config whole/config.toml --out again", "memory-of-cpp"}};
  for (const auto& [command, kind] : commands) {
    int failed = 0;
    for (int n = 1, in_a_row = 0; in_a_row < 3; n += 1 + (deep() ? 0 : n / 4)) {
      SCOPED_TRACE(fmt::format("{}, allocation {}", command, n));
      const Result result = reel(command, "{\"ids\": [1, 2]}\n", fault(kind, folder_.path().string(), n));
      std::filesystem::remove_all(folder_ / "again");
      in_a_row = result.code == 0 ? in_a_row + 1 : 0;
      if (result.code != 0) {
        ++failed;
        expect_one_line(result, 1, "memory");
      }
      ASSERT_LT(n, 1'000'000);
    }
    EXPECT_GT(failed, 10) << command;
  }
}

}  // namespace
}  // namespace reel
