// reel: arguments -> command -> exit code. The only place that turns an exception into a message.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <system_error>

#include "host/cli/commands.h"
#include "host/cli/train_options.h"
#include "host/files/checksum.h"
#include "host/files/interrupt.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr const char* kFooter = R"(
  reel train --data aclImdb_v1.tar.gz        train the recipe that reaches 86 % on IMDB
  reel train --preset tutorial               train the tutorial to the letter, and see why it forgets
  reel prepare --data aclImdb_v1.tar.gz --out imdb
  reel eval runs/DATE-TIME --data imdb
  reel predict runs/DATE-TIME "a wonderful film"

Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 training diverged, 128 + signal when interrupted: training is saved
as it was before the step that is under way, or on a GPU after those.
`reel COMMAND --help` lists a command's flags.)";

int run(const std::vector<std::string>& raw) {
  const std::vector<std::string> given = with_empty_values(raw);
  std::vector<std::string> arguments = given;
  if (!given.empty() && given.front() == "train") {
    arguments = expand_arguments({given.begin() + 1, given.end()});
    arguments.insert(arguments.begin(), "train");
  }
  if (!given.empty() && given.front() == "predict") std::ranges::transform(given, arguments.begin(), with_mark);
  CLI::App app("Reel trains recurrent text classifiers.", "reel");
  app.footer(kFooter);
  app.set_version_flag("--version", REEL_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(44);
  const std::vector<std::pair<std::string, Command>> commands = {{"train", add_train_command(app, arguments)},
                                                                 {"prepare", add_prepare_command(app)},
                                                                 {"eval", add_eval_command(app)},
                                                                 {"predict", add_predict_command(app)},
                                                                 {"info", add_info_command(app)}};
  if (!given.empty() && !given.front().starts_with('-') &&
      std::ranges::find(commands, given.front(), &std::pair<std::string, Command>::first) == commands.end()) {
    throw CLI::ValidationError(given.front(), "no such command, expected train, prepare, eval, predict or info");
  }
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants them
    app.parse(std::move(reversed));
  } catch (const CLI::Success& help) {
    return app.exit(help);
  }
  for (const auto& [name, command] : commands) {
    if (app.got_subcommand(name)) return command();
  }
  return kUsage;
}

/// Whoever closed standard input or output must not find a file of ours in its place, with what was printed in it.
/// Using one of them is still an error.
void occupy_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    ::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // the lowest number that is free: this one
  }
}

/// The exit code, which is kFailure if all went well but for what was printed: on a full disk it has not arrived.
int with_output(int code) {
  const bool written = std::fflush(stdout) == 0;
  if (written && std::ferror(stdout) == 0) return code;
  std::fprintf(stderr, "reel: standard output: %s\n", written ? "cannot be written" : std::strerror(errno));
  return code == kSuccess ? kFailure : code;
}

}  // namespace
}  // namespace reel

int main(int argc, char** argv) {
  reel::occupy_standard_descriptors();
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows too large is an error of the call that writes
  try {
    reel::watch_interrupts();
    reel::Checksum::start();
    return reel::with_output(reel::run({argv + 1, argv + argc}));
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "reel: out of memory\n");
    return reel::kFailure;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "reel: %s\n", reel::printable(error.what()).c_str());
    return reel::kUsage;
  } catch (const std::exception& error) {
    const auto* const refused = dynamic_cast<const std::system_error*>(&error);
    const bool thread = refused != nullptr && refused->code() == std::errc::resource_unavailable_try_again;
    std::fprintf(stderr, "reel: %s%s\n", thread ? "no thread can be made: " : "",
                 reel::printable(error.what()).c_str());
    return reel::kFailure;
  }
}
