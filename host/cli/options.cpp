#include "host/cli/options.h"

namespace reel {

void DeviceOptions::add_to(CLI::App& app) {
  add_choice(app, "--device", device, {{"auto", Device::kAuto}, {"cpu", Device::kCpu}, {"cuda", Device::kCuda}},
             "Where to compute; auto takes a GPU when there is one");
  app.add_option("--threads", threads, "CPU threads; 0 is every core this process may use")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

std::unique_ptr<Backend<float>> DeviceOptions::make() const {
  const DeviceKind kind = device == Device::kAuto   ? best_device()
                          : device == Device::kCuda ? DeviceKind::kCuda
                                                    : DeviceKind::kCpu;
  return make_backend(kind, threads);
}

std::string to_text(const DeviceInfo& info) {
  return fmt::format("{}, {}, {} thread{}", info.name, info.instructions, info.threads, info.threads == 1 ? "" : "s");
}

}  // namespace reel
