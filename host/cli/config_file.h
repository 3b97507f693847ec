// Config files: every flag of a command as a TOML key.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

namespace reel {

/// What a flag without a value may be in a config file: true or false, or also "yes", "on" and the other words of the
/// command line, which older versions wrote into a run's folder.
enum class Booleans { kStrict, kAnyWord };

/// A config file as flags: `batch-size = 32` becomes "--batch-size=32". Throws Error where a key is no flag of the
/// command that may stand in a file; `path` is where the text is from.
std::vector<std::string> parse_config(const std::string& text, const std::filesystem::path& path,
                                      const CLI::App& command, Booleans booleans);

/// Every flag of a parsed command with its value, as TOML that parse_config takes back.
std::string dump_config(const CLI::App& command);

}  // namespace reel
