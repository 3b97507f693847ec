// The program from the outside, in a folder of its own.
#pragma once

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/support/support.h"

namespace reel {

struct Result {
  int code = 0;
  std::string out, err;
};

class Program : public testing::Test {
 protected:
  explicit Program(std::string program = built_program()) : program_(std::move(program)) {}

  static std::string built_program();
  static std::string emulated_program();
  /// The library of failing calls: failing_calls.cpp. It is not beside programs that were carried elsewhere.
  static std::string failing_calls();

  /// Runs `reel ARGUMENTS` in a shell, in the test's folder; `environment` as in "A=1 B=2".
  Result reel(const std::string& arguments, const std::string& input = "", const std::string& environment = "") {
    folder_.write("in", input);
    const std::string command =
        "cd " + folder_.path().string() + " && " + environment + " " + program_ + " " + arguments + " <in >out 2>err";
    const int status = std::system(command.c_str());
    return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            .out = contents(folder_ / "out"),
            .err = contents(folder_ / "err")};
  }

  /// The same with standard input from a pipe. Each piece is written once the one before has been read: it is what one
  /// call of read() gives.
  Result reel_fed(const std::string& arguments, const std::vector<std::string>& pieces) {
    const std::string command =
        "cd " + folder_.path().string() + " && exec " + program_ + " " + arguments + " >out 2>err";
    std::FILE* const input = ::popen(command.c_str(), "w");
    if (input == nullptr) throw std::runtime_error("no pipe");
    pollfd reader{.fd = ::fileno(input), .events = 0, .revents = 0};
    for (const std::string& piece : pieces) {
      if (::write(reader.fd, piece.data(), piece.size()) < 0) break;
      int unread = 0;
      while (::ioctl(reader.fd, FIONREAD, &unread) == 0 && unread > 0 && ::poll(&reader, 1, 0) == 0) ::usleep(100);
      if (reader.revents != 0) break;  // it has ended
    }
    const int status = ::pclose(input);
    return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            .out = contents(folder_ / "out"),
            .err = contents(folder_ / "err")};
  }

  /// What a failed command says: one line that begins with the program's name.
  static void expect_one_line(const Result& result, int code, const std::string& part) {
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_THAT(result.err, testing::StartsWith("reel: "));
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    EXPECT_THAT(result.err, testing::HasSubstr(part));
  }
  void expect_failure(const std::string& arguments, int code, const std::string& part, const std::string& input = "") {
    SCOPED_TRACE(arguments);
    expect_one_line(reel(arguments, input), code, part);
  }

  /// The environment in which the n-th call on files whose paths contain `file` fails so: failing_calls.cpp.
  static std::string fault(const std::string& kind, const std::string& file, int n) {
    return fmt::format(
        "REEL_FAULT={} REEL_FAULT_FILE={} REEL_FAULT_CALL={} LD_PRELOAD={} ASAN_OPTIONS=verify_asan_link_order=0", kind,
        file, n, failing_calls());
  }

  void train_small(const std::string& more) {
    const Result result = reel("train --data " + fixture("aclImdb.tar.gz").string() + kSmall + more);
    ASSERT_EQ(result.code, 0) << result.err;
  }

  static constexpr const char* kSmall =
      " --batch-size 2 --embedding-dim 4 --hidden-size 5 --maxlen 12 --epochs 3 --threads 1 ";
  std::string program_;
  TemporaryFolder folder_;
};

}  // namespace reel
