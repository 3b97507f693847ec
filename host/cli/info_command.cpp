#include "host/cli/commands.h"
#include "host/cli/options.h"
#include "host/model/checkpoint.h"
#include "host/predict/trained_model.h"
#include "kernels/error.h"
#include "kernels/make_backend.h"

namespace reel {

namespace {

/// Which kernels models of several widths would run.
void show_recurrences(const Backend<float>& backend) {
  fmt::print("recurrence on {}:\n", to_text(backend.info()));
  for (const std::int64_t hidden : {64, 128, 256, 512, 2048}) {
    const SequenceShape shape{.batch = 64, .steps = 200, .hidden = hidden};
    fmt::print("  H {:<5} {}\n", hidden, backend.describe_recurrence(Cell::kTanh, shape, 10000, false));
  }
}

}  // namespace

Command add_info_command(CLI::App& app) {
  auto model = std::make_shared<std::filesystem::path>();
  CLI::App* command = app.add_subcommand("info", "Show the version and devices, or what a model file holds");
  auto device = std::make_shared<DeviceOptions>();
  device->add_to(*command);
  command->add_option("model", *model, "A run folder or a model.safetensors")->check(some_path());
  return [model, device] {
    if (model->empty()) {
      fmt::print("reel {}\ncpu   {}\ncuda  {}\n", REEL_VERSION, to_text(make_backend({})->info()), describe_cuda());
      const auto backend = device->make();
      if (backend->info().kind == DeviceKind::kCuda) show_recurrences(*backend);
      return kSuccess;
    }
    const SavedModel saved = load_model(model_file(*model));
    for (const Parameter& parameter : ParameterLayout(saved.config).parameters) {
      fmt::print("{:18} [{}]\n", parameter.name, fmt::join(parameter.shape, ", "));
    }
    fmt::print("{} parameters\n", parameter_count(saved.config));
    for (const auto& [key, value] : saved.metadata) fmt::print("{:18} {}\n", printable(key), printable(value));
    return kSuccess;
  };
}

}  // namespace reel
