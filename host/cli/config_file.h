// Config files: every flag of a command as a TOML key.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

namespace reel {

/// A config file as flags: `batch-size = 32` becomes "--batch-size=32". Throws Error where a key is no flag of the
/// command that may stand in a file; `path` is where the text is from.
std::vector<std::string> parse_config(const std::string& text, const std::filesystem::path& path,
                                      const CLI::App& command);

/// Every flag of a parsed command with its value, as TOML that parse_config takes back.
std::string dump_config(const CLI::App& command);

}  // namespace reel
