// The flags of `reel train`.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "host/cli/options.h"
#include "host/train/config.h"

namespace reel {

struct TrainOptions {
  TrainConfig config;
  DeviceOptions device;
  std::filesystem::path out, resume, config_file;
  bool quiet = false, dump = false;

  /// Adds every flag; defaults are what the members hold.
  void add_to(CLI::App& app);
  /// Turns --mixed-products auto into what it means on this processor, for the run's config.toml: other products round
  /// and add up in another way, and a resumed run keeps its bits.
  void settle_mixed_products(CLI::App& command);
};

/// Those of a model that say how much work a training step is.
void add_network_flags(CLI::App& app, ModelConfig& model);

/// Arguments after `reel train` with config files written out: flags of --config FILE (or of a resumed run's
/// config.toml) come first, so that those of the command line win. Throws CLI::ParseError when --resume is given a flag
/// that a run cannot change half way.
std::vector<std::string> expand_arguments(const std::vector<std::string>& arguments);

/// The cell that (expanded) arguments name last, by either name of its flag; tanh where they do not.
Cell cell_of(const std::vector<std::string>& arguments);

/// The preset that (expanded) arguments name last.
Preset preset_of(const std::vector<std::string>& arguments);

}  // namespace reel
