#include "host/cli/options.h"

#include <algorithm>

#include "host/files/interrupt.h"
#include "kernels/check.h"

namespace reel {

CLI::Validator some_path() {
  const auto check = [](std::string& text) { return std::string(text.empty() ? "'', expected a path" : ""); };
  return CLI::Validator(check, "");
}

CLI::Option* add_path(CLI::App& app, const std::string& name, std::filesystem::path& target, const std::string& type,
                      const std::string& help) {
  return app.add_option(name, target, help)->type_name(type)->check(some_path());
}

std::vector<std::string> with_empty_values(const std::vector<std::string>& arguments) {
  std::vector<std::string> all;
  bool flags = true;
  for (const std::string& argument : arguments) {
    all.push_back(argument);
    if (argument == "--") flags = false;
    if (!flags || !argument.starts_with("--") || argument.find('=') != argument.size() - 1) continue;
    all.back().pop_back();
    all.emplace_back();
  }
  return all;
}

constexpr char kMark = '\x01';

std::string with_mark(std::string argument) {
  if (argument.starts_with('[') || argument.starts_with('{') || argument == "++" || argument.starts_with(kMark))
    argument.insert(argument.begin(), kMark);
  return argument;
}

std::string take_mark(std::string argument) {
  if (argument.starts_with(kMark)) argument.erase(argument.begin());
  return argument;
}

void DeviceOptions::add_to(CLI::App& app) {
  add_choice(app, "--device", device, {{"auto", Device::kAuto}, {"cpu", Device::kCpu}, {"cuda", Device::kCuda}},
             "Where to compute; auto takes a GPU when there is one");
  add_choice(
      app, "--precision", precision, {{"float32", Precision::kFloat32}, {"mixed", Precision::kMixed}},
      "Arithmetic; mixed multiplies 16-bit numbers: a GPU's tensor cores (tanh up to H = 256, GRU and "
      "LSTM up to 128; W_hh's gradient of any, in TF32 where the rest is float32), or bfloat16 on a CPU (all but "
      "ReLU); what it does not know, or would do more slowly, runs in float32, as the line 'recurrence' says");
  add_choice(
      app, "--mixed-products", mixed_products,
      {{"auto", MixedProducts::kAuto},
       {"float32", MixedProducts::kFloat32},
       {"bf16", MixedProducts::kBf16},
       {"amx", MixedProducts::kAmx}},
      "What --precision mixed multiplies on a CPU: bfloat16 by AVX512-BF16 or by AMX, or float32; auto takes what "
      "is fastest on this processor; a resumed run keeps what it began with");
  add_choice(
      app, "--recurrence", recurrence,
      {{"reel", Recurrence::kReel},
       {"cudnn", Recurrence::kCudnn},
       {"cudnn-standard", Recurrence::kCudnnStandard},
       {"cudnn-persist-static", Recurrence::kCudnnPersistStatic},
       {"cudnn-persist-dynamic", Recurrence::kCudnnPersistDynamic},
       {"cudnn-persist-small-h", Recurrence::kCudnnPersistSmallHidden}},
      "Whose kernels run the recurrence on a GPU: Reel's, or cuDNN's with its usual or a given algorithm, of gru and "
      "lstm with the input's projection");
  app.add_option("--threads", threads, "CPU threads; 0 is every core this process may use")
      ->transform(within(0, 1024))
      ->capture_default_str();
  app.add_flag("--no-graph", no_graph, "Start the GPU's kernels one by one, not as CUDA graphs: for profiling");
}

DeviceKind DeviceOptions::kind() const {
  if (device == Device::kAuto) return best_device();
  return device == Device::kCuda ? DeviceKind::kCuda : DeviceKind::kCpu;
}

std::unique_ptr<Backend<float>> DeviceOptions::make() const {
  if (no_graph && kind() == DeviceKind::kCpu) fail("--no-graph: needs --device cuda, found cpu");
  return make_backend({.device = kind(),
                       .precision = precision,
                       .mixed_products = mixed_products,
                       .recurrence = recurrence,
                       .threads = threads,
                       .graphs = !no_graph && !timings,
                       .timings = timings,
                       .interrupted = &InterruptGuard::flag()});
}

std::string DeviceOptions::fallback() const {
  if (device != Device::kAuto || best_device() != DeviceKind::kCpu) return "";
  return fmt::format(" (CUDA device: {})", describe_cuda());
}

std::string DeviceOptions::unused_precision(Cell cell) const {
  if (precision != Precision::kMixed) return "";
  if (!traits(cell).bounded) {
    return fmt::format("--precision mixed: the states of --cell {} have no bound: they stay float32",
                       traits(cell).name);
  }
  const bool chosen = mixed_products == MixedProducts::kAuto || mixed_products == MixedProducts::kFloat32;
  if (!mixes_on_cpu() || !chosen || fastest_mixed_products() != MixedProducts::kFloat32) return "";
  return "--precision mixed: this processor multiplies bfloat16 more slowly than float32: products stay float32";
}

std::string DeviceOptions::unused_products() const {
  if (mixed_products == MixedProducts::kAuto || mixes_on_cpu()) return "";
  return fmt::format("--mixed-products {}: does nothing without --precision mixed on a CPU, found {}",
                     name_of(mixed_products), precision == Precision::kMixed ? "a GPU" : "float32");
}

std::string to_text(const std::vector<RangeTiming>& timings) {
  std::string text = fmt::format("{:26} {:>9} {:>11} {:>9}\n", "range", "calls", "seconds", "share");
  std::vector<double> around;  // seconds of the ranges around, by depth
  for (const RangeTiming& range : timings) {
    const auto depth = static_cast<std::size_t>(range.depth);
    around.resize(depth);
    const std::string share =
        depth == 0 ? "" : fmt::format("{:.1f} %", 100 * range.seconds / std::max(around.back(), 1e-9));
    text += fmt::format("{:26} {:>9} {:>11.3f} {:>9}\n", std::string(2 * depth, ' ') + range.name, range.calls,
                        range.seconds, share);
    around.push_back(range.seconds);
  }
  return text;
}

std::string to_text(const DeviceInfo& info) {
  if (info.kind == DeviceKind::kCuda) {
    return fmt::format("{}, {}, {} multiprocessors", info.name, info.instructions, info.threads);
  }
  return fmt::format("{}, {}, {} thread{}", info.name, info.instructions, info.threads, info.threads == 1 ? "" : "s");
}

}  // namespace reel
