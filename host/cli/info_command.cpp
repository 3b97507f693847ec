#include "host/cli/commands.h"
#include "host/cli/options.h"
#include "host/model/checkpoint.h"

namespace reel {

Command add_info_command(CLI::App& app) {
  auto model = std::make_shared<std::filesystem::path>();
  CLI::App* command = app.add_subcommand("info", "Show the version and devices, or what a model file holds");
  command->add_option("model", *model, "A run folder or a model.safetensors");
  return [model] {
    if (model->empty()) {
      fmt::print("reel {}\ncpu   {}\ncuda  {}\n", REEL_VERSION, to_text(make_backend(DeviceKind::kCpu)->info()),
                 describe_cuda());
      return kSuccess;
    }
    const std::filesystem::path file = std::filesystem::is_directory(*model) ? *model / "model.safetensors" : *model;
    const SavedModel saved = load_model(file);
    for (const Parameter& parameter : parameter_layout(saved.config)) {
      fmt::print("{:18} [{}]\n", parameter.name, fmt::join(parameter.shape, ", "));
    }
    fmt::print("{} parameters\n", parameter_count(saved.config));
    for (const auto& [key, value] : saved.metadata) fmt::print("{:18} {}\n", key, value);
    return kSuccess;
  };
}

}  // namespace reel
