// SIGINT, SIGTERM and SIGHUP, as PID 1 too.
#include <chrono>

#include "tests/cli/program.h"

namespace reel {
namespace {

using testing::HasSubstr;

class Signals : public Program {
 protected:
  void SetUp() override {
    unshare_ = std::system("unshare --user --map-root-user --pid --fork --kill-child true 2>/dev/null") == 0
                   ? "unshare --user --map-root-user --pid --fork --kill-child "
               : std::system("unshare --pid --fork --kill-child true 2>/dev/null") == 0
                   ? "unshare --pid --fork --kill-child "
                   : "";
  }

  /// Starts `reel ARGUMENTS`, as PID 1 of its own namespace if asked to, and signals it once `ready` holds (a shell
  /// condition). Its exit code.
  int ended_by(const std::string& signal, bool first, const std::string& arguments, const std::string& ready,
               const std::string& environment = "") {
    folder_.write("signal.sh",
                  // A shell's background jobs ignore SIGINT, unless told otherwise.
                  "mkfifo never\nexec 3<>never\n" + (first ? unshare_ : "") + "env --default-signal " + environment +
                      " " + program_ + " " + arguments +
                      " <&3 >out 2>err &\n"
                      "child=$!\nuntil " +
                      ready + "; do sleep 0.01; done\n" +
                      (first ? "reel=$(cat /proc/$child/task/$child/children)\n" : std::string("reel=$child\n")) +
                      "begin=$(date +%s%N)\nkill -" + signal +
                      " $reel\nwait $child\necho $? $((($(date +%s%N) - begin) / 1000000)) >code\n");
    EXPECT_EQ(
        std::system(("cd " + folder_.path().string() + " && rm -f never code && timeout 60 bash signal.sh").c_str()),
        0);
    int code = -1;
    long milliseconds = -1;
    std::istringstream(contents(folder_ / "code")) >> code >> milliseconds;
    EXPECT_LT(milliseconds, 10000) << "two seconds, on a machine that does nothing else";
    return code;
  }
  void expect_no_temporary_files() {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
      EXPECT_THAT(entry.path().filename().string(), testing::Not(HasSubstr(".tmp-")));
    }
  }

  std::string unshare_;
};

TEST_F(Signals, EndEveryCommandAtAnyMoment) {
  train_small("--out run");
  std::string rows = "text,label\n";
  for (int i = 0; i < 300000; ++i)
    rows += "word" + std::to_string(i % 5000) + " film,1\nbad" + std::to_string(i) + ",0\n";
  folder_.write("large.csv", rows);
  const std::string reading = "sleep 0.15";
  for (const bool first : {false, true}) {
    if (first && unshare_.empty()) GTEST_SKIP() << "needs unshare, to be PID 1 of a namespace";
    for (const auto& [signal, code] : {std::pair{"INT", 130}, std::pair{"TERM", 143}, std::pair{"HUP", 129}}) {
      SCOPED_TRACE(std::string(signal) + (first ? " as PID 1" : ""));
      EXPECT_EQ(ended_by(signal, first, "predict run", "sleep 0.3"), code);
      EXPECT_EQ(ended_by(signal, first, "prepare --data large.csv --out prepared", reading), code);
      EXPECT_EQ(ended_by(signal, first, "eval run --data large.csv", reading), code);
      EXPECT_EQ(ended_by(signal, first, "train --data large.csv --out new", reading), code);
      const std::string train = "train --data " + fixture("aclImdb.tar.gz").string() + kSmall +
                                " --epochs 100000 --evaluate end --log-every 100 --out run" + signal +
                                std::to_string(first);
      EXPECT_EQ(
          ended_by(signal, first, train, std::string("[ -s run") + signal + std::to_string(first) + "/metrics.jsonl ]"),
          code);
      EXPECT_THAT(contents(folder_ / "err"), HasSubstr("interrupted and saved; go on with: reel train --resume"));
      // While it writes a file, which takes a while.
      EXPECT_EQ(
          ended_by(signal, first, "prepare --data " + fixture("aclImdb.tar.gz").string() + " --out prepared",
                   "[ -n \"$(find prepared -name '*.tmp-*' 2>/dev/null)\" ]", fault("wait", "tokens.safetensors", 3)),
          code);
      expect_no_temporary_files();
    }
  }
}

}  // namespace
}  // namespace reel
