// Times one family of work on a CUDA device; each row is printed as a line of JSON as soon as it is measured.
//
//   gpu_bench step precision=float32 batch=64          a training step and its parts
//   gpu_bench recurrence peer=cudnn-standard ...       Reel's recurrence and its way back, beside one algorithm of
//                                                      cuDNN; peer=none: Reel's alone
//   gpu_bench layer cell=gru peer=cudnn-standard ...   the same with the projection and its way back on both sides:
//                                                      the input of GRU and LSTM cuDNN projects itself
//   gpu_bench window precision=float32 batch=64        how long the host takes to start steps while the device computes
//
// Others, with their defaults: hidden=128 steps=200 vocabulary=10000 embedding=128 cell=tanh|relu|gru|lstm
// rows=ragged|full samples=30 runs=100, of a graph at most; cache_mb=120, twice the cache of the largest GPU; of a step
// and a window layers=1 directions=1.
//
// The clock is the device's: events around replays of a graph that has run before, whose runs take turns on copies that
// do not fit into the cache together. A row has the samples, microseconds a run; Reel and a peer take turns sample by
// sample. A way back is what it adds to its forward pass, which runs right before it, as in a training step: it finds
// what that has left in the cache. A recurrence or layer is timed only where it computes what the CPU does.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bench/operations.h"
#include "bench/training.h"
#include "kernels/check.h"
#include "kernels/make_backend.h"
#include "kernels/range.h"

namespace reel::bench {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// The command line's NAME=VALUE.
class Settings {
 public:
  Settings(int argc, char** argv) {
    for (int i = 2; i < argc; ++i) {
      const std::string text = argv[i];
      const std::size_t equals = text.find('=');
      const std::string name = text.substr(0, equals);
      if (equals == std::string::npos || !values_.contains(name))
        fail("'{}', expected NAME=VALUE as in batch=64", text);
      values_[name] = text.substr(equals + 1);
    }
  }

  const std::string& text(const std::string& name) const { return values_.at(name); }
  std::int64_t number(const std::string& name) const {
    const std::string& value = text(name);
    if (value.empty() || value.find_first_not_of("0123456789") != std::string::npos || value.size() > 9 ||
        std::stoll(value) == 0) {
      fail("{}={}, expected a number from 1", name, value);
    }
    return std::stoll(value);
  }
  Precision precision() const {
    if (text("precision") == "float32") return Precision::kFloat32;
    if (text("precision") == "mixed") return Precision::kMixed;
    fail("precision={}, expected float32 or mixed", text("precision"));
  }
  Shape shape() const {
    return {.vocabulary = number("vocabulary"),
            .embedding = number("embedding"),
            .hidden = number("hidden"),
            .batch = number("batch"),
            .steps = number("steps"),
            .cell = cell(),
            .layers = number("layers"),
            .bidirectional = directions() == 2};
  }
  std::int64_t directions() const {
    const std::int64_t count = number("directions");
    if (count > 2) fail("directions={}, expected 1 or 2", count);
    return count;
  }
  bool ragged() const { return text("rows") == "ragged"; }

 private:
  Cell cell() const {
    for (const CellTraits& cell : kCells) {
      if (text("cell") == cell.name) return cell.cell;
    }
    fail("cell={}, expected tanh, relu, gru or lstm", text("cell"));
  }

  std::map<std::string, std::string> values_ = {
      {"precision", "float32"}, {"batch", "64"},    {"hidden", "128"},   {"steps", "200"}, {"vocabulary", "10000"},
      {"embedding", "128"},     {"rows", "ragged"}, {"samples", "30"},   {"peer", "none"}, {"cache_mb", "120"},
      {"runs", "100"},          {"cell", "tanh"},   {"directions", "1"}, {"layers", "1"}};
};

/// One row of the results; `measured` is more JSON.
void print_row(const Settings& settings, const std::string& what, const std::string& variant,
               const std::string& measured) {
  const Shape s = settings.shape();
  fmt::print(
      "{{\"what\":\"{}\",\"variant\":\"{}\",\"precision\":\"{}\",\"batch\":{},\"hidden\":{},\"steps\":{},\"rows\":\"{}"
      "\",\"cell\":\"{}\",\"layers\":{},\"directions\":{},{}}}\n",
      what, variant, settings.text("precision"), s.batch, s.hidden, s.steps, settings.text("rows"),
      settings.text("cell"), s.layers, settings.directions(), measured);
  std::fflush(stdout);
}

/// In one line, and without what JSON would have to escape.
std::string plain(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' '; }, ' ');
  return text;
}

/// Work that is a graph, warm, and can be timed again and again.
class TimedWork {
 public:
  /// `run(i)` enqueues the i-th run; `runs` of them are one graph.
  TimedWork(Backend<float>& backend, std::string name, std::int64_t runs, const std::function<void(std::int64_t)>& run)
      : backend_(backend), name_(std::move(name)), runs_(runs) {
    for (int time = 0; time < 2; ++time) {  // at first without a graph: kernels are loaded then
      GraphCapture graph(backend_, name_);
      for (std::int64_t i = 0; i < runs_; ++i) run(i);
      graph.launch();
      backend_.synchronize();
    }
    constexpr double kWarm = 0.05, kSample = 0.005;  // seconds
    double once = backend_.replay_graph(name_, 1);
    for (double spent = once; spent < kWarm; spent += once) once = backend_.replay_graph(name_, 1);
    replays_ = static_cast<int>(std::clamp(kSample / std::max(once, 1e-9), 1.0, 1000.0));
  }

  /// Microseconds a run.
  void sample() {
    const double seconds = backend_.replay_graph(name_, replays_);
    samples_.push_back(1e6 * seconds / (replays_ * static_cast<double>(runs_)));
  }
  const std::vector<double>& values() const { return samples_; }
  std::string samples() const { return to_json(samples_); }
  static std::string to_json(const std::vector<double>& us) {
    return fmt::format("\"us\":[{:.3f}]", fmt::join(us, ","));
  }

 private:
  Backend<float>& backend_;
  std::string name_;
  std::int64_t runs_;
  int replays_ = 1;
  std::vector<double> samples_;
};

/// A graph that is run again has the same steps, whose rows are up to date then: nothing would be left to update.
constexpr RowUpdates kUpdates = RowUpdates::kEveryStep;

/// As many runs as are a few milliseconds.
std::int64_t runs_of(const Settings& settings, std::int64_t tokens) {
  return std::clamp<std::int64_t>(2'000'000 / (tokens + 1), 1, settings.number("runs"));
}

void time_step(const Settings& settings) {
  const auto backend = make_backend({.device = DeviceKind::kCuda, .precision = settings.precision()});
  Training training(*backend, settings.shape(), 1, kUpdates);
  const std::pair<const char*, void (Training::*)()> parts[] = {{"training_step", &Training::step},
                                                                {"select", &Training::select},
                                                                {"forward", &Training::forward},
                                                                {"backward", &Training::backward},
                                                                {"optimizer_step", &Training::optimizer_step}};
  for (const auto& [name, part] : parts) {
    TimedWork work(*backend, name, runs_of(settings, training.tokens()), [&](std::int64_t) { (training.*part)(); });
    for (std::int64_t i = 0; i < settings.number("samples"); ++i) work.sample();
    print_row(settings, name, "reel", work.samples());
  }
}

/// What is timed of a layer.
struct Part {
  const char* name;
  void (Operations::*forward)();
  void (Operations::*backward)();
};
constexpr Part kRecurrence{"recurrence", &Operations::recurrence_forward, &Operations::recurrence_backward};
constexpr Part kLayer{"layer", &Operations::layer_forward, &Operations::layer_backward};

/// A part of one backend, on copies in turn.
class TimedPart {
 public:
  TimedPart(const Settings& settings, const Part& part, Recurrence whose, std::string variant)
      : part_(part),
        variant_(std::move(variant)),
        backend_(make_backend({.device = DeviceKind::kCuda, .precision = settings.precision(), .recurrence = whose})) {
    check_accuracy(settings);
    copies_.emplace_back(*backend_, settings.shape(), settings.ragged());
    const std::int64_t runs = runs_of(settings, copies_[0].tokens()), bytes = copies_[0].recurrence_bytes();
    const std::int64_t cache = settings.number("cache_mb") << 20;
    while (std::ssize(copies_) < std::min(runs, cache / bytes + 1)) {
      copies_.emplace_back(*backend_, settings.shape(), settings.ragged());
    }
    const auto copy = [this](std::int64_t run) -> Operations& {
      return copies_[static_cast<std::size_t>(run) % copies_.size()];
    };
    forward_ = std::make_unique<TimedWork>(*backend_, "forward", runs,
                                           [&](std::int64_t run) { (copy(run).*part_.forward)(); });
    // cuDNN's way back uses up what its way forward has kept.
    both_ = std::make_unique<TimedWork>(*backend_, "forward and backward", runs, [&](std::int64_t run) {
      (copy(run).*part_.forward)();
      (copy(run).*part_.backward)();
    });
  }

  void sample() {
    forward_->sample();
    both_->sample();
  }
  void print(const Settings& settings) const {
    const std::string difference = fmt::format(",\"difference\":{:.2e}", difference_);
    print_row(settings, std::string(part_.name) + "_forward", variant_, forward_->samples() + difference);
    std::vector<double> backward = both_->values();
    for (std::size_t i = 0; i < backward.size(); ++i) backward[i] -= forward_->values()[i];
    print_row(settings, std::string(part_.name) + "_backward", variant_, TimedWork::to_json(backward) + difference);
  }

 private:
  /// A few rows, as the CPU computes them.
  void check_accuracy(const Settings& settings) {
    constexpr std::int64_t kRows = 8;
    constexpr double kFloat32 = 1e-4, kMixed = 5e-2;
    Shape shape = settings.shape();
    shape.batch = std::min(shape.batch, kRows);
    const auto cpu = make_backend({});
    difference_ = relative_difference(Operations(*backend_, shape, settings.ragged()),
                                      Operations(*cpu, shape, settings.ragged()));
    if (!(difference_ <= (settings.precision() == Precision::kMixed ? kMixed : kFloat32))) {
      fail("refused: the {} differs from the CPU's by {:.1e}", part_.name, difference_);
    }
  }

  Part part_;
  std::string variant_;
  std::unique_ptr<Backend<float>> backend_;
  double difference_ = 0;
  std::vector<Operations> copies_;
  std::unique_ptr<TimedWork> forward_, both_;
};

/// Reel first: what it measured is there if the peer crashes.
void time_part(const Settings& settings, const Part& part) {
  const std::map<std::string, Recurrence> peers = {{"none", Recurrence::kReel},
                                                   {"cudnn-standard", Recurrence::kCudnnStandard},
                                                   {"cudnn-persist-static", Recurrence::kCudnnPersistStatic},
                                                   {"cudnn-persist-dynamic", Recurrence::kCudnnPersistDynamic},
                                                   {"cudnn-persist-small-h", Recurrence::kCudnnPersistSmallHidden}};
  if (const Shape shape = settings.shape(); shape.layers > 1 || shape.bidirectional) {
    fail("layers={} directions={}, expected one of each of a {}", shape.layers, settings.directions(), part.name);
  }
  const std::string& name = settings.text("peer");
  const auto found = peers.find(name);
  if (found == peers.end()) fail("peer={}, expected none, cudnn-standard, cudnn-persist-static, ...", name);
  TimedPart reel(settings, part, Recurrence::kReel, "reel");
  std::unique_ptr<TimedPart> peer;
  try {
    if (name != "none") peer = std::make_unique<TimedPart>(settings, part, found->second, name);
  } catch (const Error& error) {  // cuDNN refuses some widths
    print_row(settings, part.name, name, fmt::format("\"error\":\"{}\"", plain(error.what())));
  }
  for (std::int64_t i = 0; i < settings.number("samples"); ++i) {
    reel.sample();
    if (peer) peer->sample();
  }
  reel.print(settings);
  if (peer) peer->print(settings);
}

void time_recurrence(const Settings& settings) {
  if (traits(settings.shape().cell).gates > 1 && settings.text("peer") != "none") {
    fail("cell={} peer={}: cuDNN projects its input, expected layer", settings.text("cell"), settings.text("peer"));
  }
  time_part(settings, kRecurrence);
}
void time_layer(const Settings& settings) { time_part(settings, kLayer); }

/// The host starts one step after the other, as training does, a few windows of them, and then waits. A step takes the
/// larger of the device's time and the host's; if it takes more, starting a graph waits for the one before.
void time_window(const Settings& settings) {
  constexpr std::int64_t kWindows = 8;
  const std::int64_t steps = kWindows * std::min<std::int64_t>(50, settings.number("runs"));
  const auto backend = make_backend({.device = DeviceKind::kCuda, .precision = settings.precision()});
  Training training(*backend, settings.shape(), 1, kUpdates);
  TimedWork device(*backend, "step", 1, [&](std::int64_t) { training.step(); });
  std::vector<double> start, step;
  for (std::int64_t i = 0; i < settings.number("samples"); ++i) {
    device.sample();
    const double begin = now();
    for (std::int64_t s = 0; s < steps; ++s) backend->launch_graph("step");
    const double started = now();
    backend->synchronize();
    const double microseconds = 1e6 / static_cast<double>(steps);
    step.push_back(microseconds * (now() - begin));
    start.push_back(microseconds * (started - begin));
  }
  print_row(settings, "window", "reel",
            fmt::format("{},\"host_start_us\":[{:.3f}],\"step_us\":[{:.3f}]", device.samples(), fmt::join(start, ","),
                        fmt::join(step, ",")));
}

int run(int argc, char** argv) {
  const std::map<std::string, void (*)(const Settings&)> families = {
      {"step", time_step}, {"recurrence", time_recurrence}, {"layer", time_layer}, {"window", time_window}};
  const auto family = families.find(argc > 1 ? argv[1] : "");
  if (family == families.end()) fail("expected step, recurrence, layer or window");
  family->second(Settings(argc, argv));
  return 0;
}

}  // namespace
}  // namespace reel::bench

int main(int argc, char** argv) {
  try {
    return reel::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_bench: %s\n", error.what());
    return 1;
  }
}
