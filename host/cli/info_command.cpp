#include <array>
#include <span>

#include "host/cli/commands.h"
#include "host/cli/options.h"
#include "host/cli/plan_text.h"
#include "host/cli/train_options.h"
#include "host/files/safetensors.h"
#include "host/model/checkpoint.h"
#include "host/model/preprocessing.h"
#include "host/predict/trained_model.h"
#include "host/train/progress.h"
#include "host/train/step_plan.h"
#include "kernels/check.h"
#include "kernels/error.h"
#include "kernels/make_backend.h"

namespace reel {

namespace {

constexpr std::int64_t kBatch = 64, kSteps = 200;

/// The kernels of a model, or why there are none.
std::string recurrence_of(const Backend<float>& backend, const ModelConfig& model, std::int64_t steps = kSteps) {
  const SequenceShape shape{.batch = kBatch, .steps = steps, .hidden = model.hidden};
  try {
    return backend.describe_recurrence(model.cell, shape, model.vocabulary, model.has_steps());
  } catch (const Error& refused) {
    return refused.what();
  }
}

/// Which kernels models of each cell and of several widths would run; neighbouring widths of the same share a line.
void show_recurrences(const Backend<float>& backend) {
  constexpr std::array<std::int64_t, 5> kWidths = {64, 128, 256, 512, 2048};
  fmt::print("recurrence on {}, batches of {} x {}:\n", to_text(backend.info()), kBatch, kSteps);
  for (const CellTraits& cell : kCells) {
    for (std::size_t begin = 0, end = 0; begin < kWidths.size(); begin = end) {
      const auto kernels_at = [&](std::size_t i) {
        return recurrence_of(backend, {.vocabulary = 10000, .hidden = kWidths[i], .cell = cell.cell});
      };
      const std::string kernels = kernels_at(begin);
      while (end < kWidths.size() && kernels_at(end) == kernels) ++end;
      const auto widths = std::span(kWidths).subspan(begin, end - begin);
      fmt::print("  {:<5} H {:<23} {}\n", cell.name, fmt::format("{}", fmt::join(widths, ", ")), kernels);
    }
  }
}

/// Every tensor of the file, by name; those that are no parameters of the model too.
void show_tensors(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  for (const auto& [name, tensor] : file.tensors()) {
    fmt::print("{:24} {} [{}]\n", printable(name), tensor.dtype, fmt::join(tensor.shape, ", "));
  }
}

struct StepOptions {
  bool step = false, json = false;
  TrainConfig config = preset_config(Preset::kRecipe);

  void add_to(CLI::App& app) {
    const std::string group = "The plan of a training step";
    app.option_defaults()->group(group);
    CLI::Option* const asked =
        app.add_flag("--step", step,
                     "List what one step would enqueue, what each part waits for, moves and computes, and for how long "
                     "it is expected to take; of the recipe, on a CUDA device");
    app.add_flag("--json", json, "As JSON, on one line");
    app.add_option("--batch-size", config.batch_size, "Reviews of the step")
        ->capture_default_str()
        ->transform(within<std::int64_t>(1, 65536));
    add_network_flags(app, config.model);
    const auto of_a_step = [&](const CLI::Option* option) { return option->get_group() == group && option != asked; };
    for (CLI::Option* const option : app.get_options(of_a_step)) option->needs(asked);
  }

  void show(const DeviceOptions& device) {
    config.model.vocabulary = config.preprocessing.load.num_words;
    const auto backend = device.make();
    if (backend->info().kind != DeviceKind::kCuda) fail("--step: needs --device cuda, found cpu");
    if (device.recurrence != Recurrence::kReel) fail("--step: knows Reel's own kernels, not --recurrence cudnn's");
    const Plan plan = plan_step(*backend, config);
    if (json) return fmt::print("{}\n", to_json(plan, config, device.precision, backend->info()));
    fmt::print("{}, batches of {} x {}, {}\n{}", to_text(backend->info()), config.batch_size,
               config.preprocessing.maxlen, device.precision == Precision::kMixed ? "mixed" : "float32", to_text(plan));
  }
};

}  // namespace

Command add_info_command(CLI::App& app) {
  auto model = std::make_shared<std::filesystem::path>();
  CLI::App* command =
      app.add_subcommand("info", "Show the version and devices, or what a model file holds and which kernels run it");
  auto device = std::make_shared<DeviceOptions>();
  device->add_to(*command);
  CLI::Option* const given =
      command->add_option("model", *model, "A run folder or a model.safetensors")->check(some_path());
  auto step = std::make_shared<StepOptions>();
  step->add_to(*command);
  command->get_option("--step")->excludes(given);
  return [model, device, step] {
    warn(device->unused_products());
    if (step->step) {
      step->show(*device);
      return kSuccess;
    }
    if (model->empty()) {
      fmt::print("reel {}\ncpu   {}\ncuda  {}\n", REEL_VERSION, to_text(make_backend({})->info()), describe_cuda());
      const auto backend = device->make();
      if (backend->info().kind == DeviceKind::kCuda) show_recurrences(*backend);
      return kSuccess;
    }
    const std::filesystem::path file = model_file(*model);
    const SavedModel saved = load_model(file);
    show_tensors(file);
    fmt::print("{} parameters: a bias_ih and its bias_hh count once{}\n", parameter_count(saved.config),
               traits(saved.config.cell).recurrent_bias
                   ? fmt::format(", but for the last {} numbers of each", saved.config.hidden)
                   : "");
    for (const auto& [key, value] : saved.metadata) fmt::print("{:18} {}\n", printable(key), printable(value));
    const auto backend = device->make();
    const std::int64_t steps = preprocessing_of(saved.metadata, file.string()).maxlen;
    fmt::print("recurrence on {}, batches of {} x {}: {}\n", to_text(backend->info()), kBatch, steps,
               recurrence_of(*backend, saved.config, steps));
    return kSuccess;
  };
}

}  // namespace reel
