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
    folder_.write(
        "signal.sh",
        // A shell's background jobs ignore SIGINT, unless told otherwise.
        "mkfifo never\nexec 3<>never\n" + (first ? unshare_ : "") + "env --default-signal " + environment + " " +
            program_ + " " + arguments +
            " <&3 >out 2>err &\n"
            "child=$!\nuntil " +
            ready + "; do sleep 0.01; done\n" +
            (first ? "until reel=$(cat /proc/$child/task/$child/children) && [ -n \"$reel\" ]; do sleep 0.01; done\n"
                   : std::string("reel=$child\n")) +
            "begin=$(date +%s%N)\nkill -" + signal +
            " $reel\nwait $child\necho $? $((($(date +%s%N) - begin) / 1000000)) >code\n");
    EXPECT_EQ(std::system(
                  ("cd " + folder_.path().string() + " && rm -f never code log && timeout 60 bash signal.sh").c_str()),
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
  if (!std::filesystem::exists(failing_calls())) GTEST_SKIP() << "needs the library of failing calls beside";
  train_small("--out run");
  folder_.write("rows.csv", "text,label\ngood film,1\nbad film,0\ngood,1\nbad,0\nfilm good,1\n");
  // The commands stand still while they read or write, so that the moment is the same on every machine.
  const std::string logs = " REEL_FAULT_LOG=" + (folder_ / "log").string(), waits = "grep -qs ^wait log";
  const auto reading = [&](const std::string& file) { return fault("wait-reading", file, 1) + logs; };
  const std::string writing = fault("wait", "tokens.safetensors", 3) + logs;
  for (const bool first : {false, true}) {
    if (first && unshare_.empty()) GTEST_SKIP() << "needs unshare, to be PID 1 of a namespace";
    for (const auto& [signal, code] : {std::pair{"INT", 130}, std::pair{"TERM", 143}, std::pair{"HUP", 129}}) {
      SCOPED_TRACE(std::string(signal) + (first ? " as PID 1" : ""));
      EXPECT_EQ(ended_by(signal, first, "predict run", waits, reading("never")), code);
      for (const char* command :
           {"prepare --data rows.csv --out prepared", "eval run --data rows.csv", "train --data rows.csv --out new"}) {
        EXPECT_EQ(ended_by(signal, first, command, waits, reading("rows.csv")), code) << command;
      }
      const std::string run = std::string("run") + signal + std::to_string(first);
      const std::string train = "train --data " + fixture("aclImdb.tar.gz").string() + kSmall +
                                " --epochs 100000 --evaluate end --log-every 100 --out " + run;
      EXPECT_EQ(ended_by(signal, first, train, "[ -s " + run + "/metrics.jsonl ]"), code);
      EXPECT_THAT(contents(folder_ / "err"), HasSubstr("interrupted and saved; go on with: reel train --resume"));
      EXPECT_EQ(ended_by(signal, first, "prepare --data rows.csv --out prepared", waits, writing), code);
      expect_no_temporary_files();
    }
  }
}

/// Before there is an epoch's end to choose a temperature at; the run goes on and chooses there.
TEST_F(Signals, EndARunThatIsToBeCalibrated) {
  std::string rows = "text,label\n";
  for (int i = 0; i < 30'000; ++i) rows += "good film,1\nbad film,0\n";
  folder_.write("many.csv", rows);
  const std::string train =
      std::string("train --data many.csv --out run --validation-split 0.1 --calibrate --log-every 1") + kSmall +
      " --evaluate end --epochs 1";
  EXPECT_EQ(ended_by("TERM", false, train, "[ -s run/metrics.jsonl ]"), 143);
  EXPECT_THAT(contents(folder_ / "err"), HasSubstr("interrupted and saved; go on with: reel train --resume run"));
  const Result resumed = reel("train --resume run");
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_THAT(resumed.out, HasSubstr("temperature"));
}

/// A pipe that is full: what else there is to say waits, not the end.
TEST_F(Signals, EndARunWhoseOutputNobodyReads) {
  folder_.write("full.sh",
                "mkfifo full\nexec 3<>full\nhead -c 57344 /dev/zero >&3\nenv --default-signal " + program_ +
                    " train --data " + fixture("aclImdb.tar.gz").string() + kSmall +
                    " --epochs 100000 --evaluate end --log-every 1 --out run >&3 2>err &\nchild=$!\nsize=-1\n"
                    "until [ -s run/metrics.jsonl ] && [ \"$size\" = $(stat -c %s run/metrics.jsonl) ]; do\n"
                    "  size=$(stat -c %s run/metrics.jsonl 2>/dev/null); sleep 1\ndone\n"
                    "kill -TERM $child; wait $child; echo $? >code\n");
  ASSERT_EQ(std::system(("cd " + folder_.path().string() + " && timeout 60 bash full.sh").c_str()), 0);
  EXPECT_EQ(contents(folder_ / "code"), "143\n");
  EXPECT_THAT(contents(folder_ / "err"), HasSubstr("interrupted and saved; go on with: reel train --resume run"));
  EXPECT_EQ(reel("train --resume run --max-steps 1").code, 0);
}

}  // namespace
}  // namespace reel
