#include <csignal>

#include "host/cli/commands.h"
#include "host/cli/config_file.h"
#include "host/cli/train_options.h"
#include "host/files/file.h"
#include "host/files/interrupt.h"
#include "host/train/trainer.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kWide = 1024;  // units from which on making orthogonal weights takes seconds

Corpus read_data(const TrainConfig& config, Progress& progress) {
  if (!config.data.empty()) return read_corpus(config.data, config.test_data, config.reading);
  if (!config.test_data.empty()) fail("--test-data {}: expected --data beside it", config.test_data.string());
  return default_corpus(
      {.announce = [&](const std::string& line) { progress.line(line); },
       .progress = [&](std::int64_t received, std::int64_t total) { progress.show_download(received, total); }},
      SingleFile::kTrainsAndTests, config.reading);
}

std::string thousands(std::int64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t index = text.size(); index > 3;) text.insert(index -= 3, ",");
  return text;
}

/// "RNN(128, tanh)", "2 x bidirectional LSTM(128)"
std::string layers_text(const ModelConfig& model) {
  std::string name = traits(model.cell).name, times = model.layers > 1 ? fmt::format("{} x ", model.layers) : "";
  if (model.bidirectional) times += "bidirectional ";
  if (traits(model.cell).gates == 1) return fmt::format("{}RNN({}, {})", times, model.hidden, name);
  std::ranges::transform(name, name.begin(), [](char c) { return static_cast<char>(c - 'a' + 'A'); });
  return fmt::format("{}{}({})", times, name, model.hidden);
}

/// What people read before the first step.
void introduce(const TrainOptions& options, const TrainingData& data, const Backend<float>& backend,
               const fs::path& folder, Progress& progress) {
  const TrainConfig& config = options.config;
  const ModelConfig& model = config.model;
  progress.note(fmt::format("data: {}: {} training, {} validation, {} test reviews; {} ids", data.source,
                            thousands(data.train.size()), thousands(data.validation.size()),
                            thousands(data.test.size()), thousands(data.vocabulary.size())));
  progress.note(fmt::format("model: Embedding({}, {}) -> {} -> {} -> Dense({}), {} parameters", model.vocabulary,
                            model.embedding, layers_text(model), name_of(model.pool), model.outputs,
                            thousands(parameter_count(model))));
  const SequenceShape shape{.batch = config.batch_size, .steps = config.preprocessing.maxlen, .hidden = model.hidden};
  progress.note("device: " + to_text(backend.info()) + options.device.fallback());
  progress.note("recurrence: " + backend.describe_recurrence(model.cell, shape, model.vocabulary, model.has_steps()));
  progress.note("run: " + folder.string());
  for (const std::string& unused : {options.device.unused_precision(model.cell), options.device.unused_products()}) {
    if (!unused.empty()) progress.line("warning: " + unused);
  }
  for (const std::string& line : check_reviews(data)) progress.line("warning: " + line);
  const PaddingCheck padding = check_padding(data.train, config.preprocessing, model.pool);
  if (padding.warning) {
    progress.line("warning: " + padding.line);
  } else {
    progress.note(padding.line);
  }
}

int exit_code(Outcome outcome, const RunFolder& folder, std::int64_t max_steps) {
  if (outcome == Outcome::kInterrupted) {
    put(stderr, fmt::format("reel: interrupted and saved; go on with: {}{}\n", folder.resume_command(),
                            max_steps > 0 ? fmt::format(" --max-steps {}", max_steps) : ""));
    return kSignal + InterruptGuard::signal();
  }
  if (outcome == Outcome::kDiverged) {
    put(stderr, fmt::format("reel: training diverged; {}; try a lower --lr or a --clip-norm, and another --out\n",
                            folder.has_checkpoint() ? folder.path().string() + " is as of its last checkpoint"
                                                    : "nothing was saved"));
    return kDivergedExit;
  }
  return kSuccess;
}

/// Of a run that begins, perhaps anew and with other data: no model of other words or labels may lie beside these.
void write_names(const fs::path& file, const std::string& text, const RunFolder& folder) {
  if (is_there(file)) {
    if (read_file(file) == text) return;
    std::error_code error;
    fs::remove(folder.model(), error);
    if (error) fail("{}: cannot be removed: {}", folder.model().string(), error.message());
  }
  write_file(file, text);
}

/// A run that began in float32, or on a GPU, chooses what it multiplies on a CPU when it first goes on there in mixed
/// precision, and keeps that.
void keep_mixed_products(const DeviceOptions& device, const RunFolder& folder) {
  const auto line = [](MixedProducts products) { return fmt::format("mixed-products = \"{}\"\n", name_of(products)); };
  std::string text = folder.config_text();
  const std::string open = line(MixedProducts::kAuto);
  const std::size_t begin = text.find(open);
  if (!device.mixes_on_cpu() || begin == std::string::npos) return;
  write_file(folder.config(), text.replace(begin, open.size(), line(device.mixed_products)));
}

/// What the flags ask of labels that the data does not have.
void check_labels(const TrainConfig& config, const TrainingData& data) {
  const LabelSet& labels = data.labels;
  const bool numbers = labels.task == Task::kRegression;
  if (numbers && config.calibrate) fail("--calibrate: the labels are numbers, not classes");
  if (config.calibrate && labels.task == Task::kClassify && !data.validation.targets.empty()) {
    fail("--calibrate: not with --soft-labels, whose likeliest class alone is validated");
  }
  if (numbers && config.find_threshold) fail("--threshold auto: the labels are numbers, not classes");
  if (numbers && (config.best_by == BestBy::kAccuracy || config.best_by == BestBy::kMacroF1)) {
    fail("--best-by: the labels are numbers, not classes: expected loss");
  }
  if (config.find_threshold && labels.task == Task::kClassify && !labels.is_binary()) {
    fail("--threshold auto: {} classes, of which the likeliest is predicted; expected two, or several labels a review",
         labels.classes());
  }
}

int train(TrainOptions options, const std::string& config_text) {
  std::signal(SIGPIPE, SIG_IGN);  // who reads may go: the run is saved all the same
  const bool resuming = !options.resume.empty();
  TrainConfig& config = options.config;
  Progress progress(Progress::style_for_stdout(options.quiet));
  if (!resuming && !options.out.empty()) RunFolder::check_unused(options.out);
  std::optional<RunFolder> folder;
  if (resuming) folder = RunFolder::open(options.resume);
  if (resuming && options.device.kind() == DeviceKind::kCpu) options.device.no_graph = false;  // begun on a GPU
  if (resuming && !options.device.mixes_on_cpu()) options.device.mixed_products = MixedProducts::kAuto;  // begun so
  const std::unique_ptr<Backend<float>> backend = options.device.make();
  if (config.profile_steps > 0 && backend->info().kind != DeviceKind::kCuda) {
    fail("--profile: needs --device cuda, found cpu; --timings works anywhere");
  }
  if (config.bptt > 0 && backend->projects_input(config.model.cell)) {
    fail("--bptt: not with --recurrence cudnn of --cell {}, whose gradients go back to a row's beginning",
         traits(config.model.cell).name);
  }
  Corpus corpus = read_data(config, progress);
  if (corpus.invalid_utf8 > 0) {
    progress.line(
        fmt::format("warning: {}: {} invalid UTF-8 sequences read as U+FFFD", corpus.source, corpus.invalid_utf8));
  }
  for (const std::string& warning : corpus.warnings) progress.line("warning: " + warning);
  progress.note("labels: " + describe_labels(corpus));
  const TrainingData data = make_training_data(std::move(corpus), config);
  if (!resuming && !has_words(data)) {  // what began so goes on
    fail("{}: its rows hold no word with an id of its own: see --vocab-size, --skip-top, --index-from and --maxlen",
         data.source);
  }
  check_labels(config, data);
  config.model.vocabulary = data.vocabulary.size();
  config.model.task = data.labels.task;
  config.model.outputs = data.labels.outputs();
  if (!folder) {
    folder = options.out.empty() ? RunFolder::create_default() : RunFolder::create(options.out);
    write_file(folder->config(), config_text);
  }
  if (!folder->is_locked()) {
    progress.line(fmt::format("warning: {}: its file system has no locks: keep other processes from training in it",
                              folder->path().string()));
  }
  std::optional<Trainer> trainer;
  try {
    introduce(options, data, *backend, folder->path(), progress);
    if (config.orthogonal && config.model.hidden >= kWide && !folder->has_checkpoint()) {
      progress.note(fmt::format("orthogonal weights of {} x {}: this takes a while; --orthogonal off does without",
                                config.model.hidden, config.model.hidden));
    }
    trainer.emplace(*backend, config, data, *folder,
                    TrainEvents{.step = [&](const StepReport& report) { progress.show(report); },
                                .epoch = [&](const std::string& line) { progress.note(line); },
                                .line = [&](const std::string& line) { progress.line(line); }});
  } catch (...) {
    if (!resuming) folder->discard();  // a cell that the kernels do not know, no memory: another try may have this name
    throw;
  }
  const bool begins = !folder->has_checkpoint();
  const std::string words = data.vocabulary.text(), names = label_names_text(data.labels);
  if (begins) write_names(folder->vocabulary(), words, *folder);
  if (begins) write_names(folder->labels(), names, *folder);
  if (resuming) {
    if (begins) progress.note("no checkpoint yet: from the beginning");
    trainer->resume();
    keep_mixed_products(options.device, *folder);
    if (!is_there(folder->vocabulary())) write_file(folder->vocabulary(), words);
    if (!is_there(folder->labels())) write_file(folder->labels(), names);
  }
  const Outcome outcome = trainer->run();
  if (options.device.timings) put(stdout, to_text(backend->timings()));
  return exit_code(outcome, *folder, config.max_steps);
}

/// Flags that would have no effect. A run that goes on cannot take them back.
void refuse_unused(const TrainOptions& options) {
  const TrainConfig& config = options.config;
  if (config.layer_dropout > 0 && config.model.layers == 1) {
    throw CLI::ValidationError("--layer-dropout", "expected --layers of 2 or more with it");
  }
  if (config.variational && config.layer_dropout == 0) {
    throw CLI::ValidationError("--variational", "expected a --layer-dropout with it");
  }
  if (config.bptt > config.preprocessing.maxlen) {
    throw CLI::ValidationError("--bptt", fmt::format("'{}', expected at most the {} steps of --maxlen", config.bptt,
                                                     config.preprocessing.maxlen));
  }
  const std::string unused(config.optimizer.unused_flag());
  if (unused.empty()) return;
  const std::string& file = options.config_file;
  throw CLI::ValidationError(
      unused, "not one of this --optimizer's numbers" + (file.empty() ? "" : "; given here or in " + file));
}

}  // namespace

Command add_train_command(CLI::App& app, const std::vector<std::string>& arguments) {
  auto options = std::make_shared<TrainOptions>();
  options->config = preset_config(preset_of(arguments), cell_of(arguments));
  CLI::App* command = app.add_subcommand("train", "Train a classifier and write a run folder");
  options->add_to(*command);
  return [options, command]() -> int {
    TrainConfig& config = options->config;
    const bool validation = config.validation_split > 0;
    if (config.early_stopping > 0 && !validation) {
      throw CLI::ValidationError("--early-stopping", "expected --validation-split with it");
    }
    for (const auto& [flag, given] : {std::pair("--best-by", config.best_by != BestBy::kAuto),
                                      {"--calibrate", config.calibrate},
                                      {"--threshold auto", config.find_threshold}}) {
      if (given && !validation) throw CLI::ValidationError(flag, "expected --validation-split with it");
    }
    if (config.preprocessing.load.oov_char < 0 && config.word_dropout > 0) {
      throw CLI::ValidationError("--word-dropout", "expected an --oov-char with it");
    }
    if (options->resume.empty()) refuse_unused(*options);
    if (options->dump) {
      fmt::print("{}", dump_config(*command));
      return kSuccess;
    }
    options->settle_mixed_products(*command);
    return train(*options, dump_config(*command));
  };
}

}  // namespace reel
