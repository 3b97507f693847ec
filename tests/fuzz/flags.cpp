// config.toml and --config as flags of `reel train`: what is taken, --dump-config writes, and that means the same.
#include "host/cli/config_file.h"
#include "host/cli/train_options.h"
#include "kernels/make_backend.h"
#include "tests/fuzz/fuzz.h"

namespace reel {

// Nothing computes here.
std::unique_ptr<Backend<float>> make_backend(const BackendOptions& /*options*/) { std::abort(); }
DeviceKind best_device() { std::abort(); }
std::string describe_cuda() { std::abort(); }
MixedProducts fastest_mixed_products() { std::abort(); }
bool cpu_has(MixedProducts /*products*/) { std::abort(); }
const char* name_of(MixedProducts /*products*/) { std::abort(); }

namespace {

std::string dump_of(std::string_view config) {
  const fuzz::File file(config);
  const std::vector<std::string> arguments = expand_arguments({"--config=" + file.path().string()});
  CLI::App app("", "train");
  TrainOptions options;
  options.add_to(app);
  app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  return dump_config(app);
}

}  // namespace
}  // namespace reel

REEL_FUZZ({
  const std::string dump = reel::dump_of(text);
  if (reel::dump_of(dump) != dump) std::abort();
})
