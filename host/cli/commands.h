// The commands of `reel`. Each adds itself to the application and returns what to do when it was chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

namespace reel {

/// Exit codes of the program.
enum ExitCode { kSuccess = 0, kFailure = 1, kUsage = 2, kDivergedExit = 3, kSignal = 128 };

using Command = std::function<int()>;

/// `arguments` are those of the command line after `reel`: presets and config files change the defaults of train.
Command add_train_command(CLI::App& app, const std::vector<std::string>& arguments);
Command add_prepare_command(CLI::App& app);
Command add_eval_command(CLI::App& app);
Command add_predict_command(CLI::App& app);
Command add_info_command(CLI::App& app);

}  // namespace reel
