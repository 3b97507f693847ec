#include "host/cli/train_options.h"

#include <algorithm>
#include <limits>

#include "host/cli/config_file.h"
#include "host/cli/read_options.h"
#include "host/files/file.h"
#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

const std::vector<std::pair<std::string, bool>> kOnOff = {{"on", true}, {"off", false}};
const std::vector<std::pair<std::string, Preset>> kPresets = {
    {"recipe", Preset::kRecipe}, {"tutorial", Preset::kTutorial}, {"long", Preset::kLong}};

constexpr std::int64_t kLarge = 1 << 30;

/// So that a resumed run finds it from anywhere.
CLI::Validator absolute_path() {
  const auto make = [](std::string& text) -> std::string {
    if (text.empty()) return some_path()(text);
    std::error_code error;
    text = std::filesystem::absolute(text, error).string();
    return error ? error.message() : "";
  };
  return CLI::Validator(make, "");
}
CLI::Validator positive() { return within<std::int64_t>(1, kLarge); }
CLI::Validator not_negative() { return within<std::int64_t>(0, kLarge); }
CLI::Validator not_negative_real() { return within(0.0, 1e30); }
CLI::Validator share() { return within(0.0, 1.0); }

CLI::Validator class_weights() {
  const auto make = [](std::string& text) { return text == "balanced" ? "" : absolute_path()(text); };
  return CLI::Validator(make, "");
}

/// "5m" or "0.5m": minutes; "100": steps; "0": never.
CheckpointInterval parse_interval(const std::string& text) {
  std::string number = text;
  const bool minutes = text.ends_with('m');
  if (minutes) number.pop_back();
  const CLI::Validator range = minutes ? within(1e-6, 1e6) : not_negative();
  if (!range(number).empty()) {
    throw CLI::ValidationError("--checkpoint-every", fmt::format("'{}', expected minutes as in 5m, or steps", text));
  }
  if (minutes) return {.steps = 0, .minutes = std::stod(number)};
  return {.steps = std::stoll(number), .minutes = 0};
}

template <class T>
CLI::Option* add(CLI::App& app, const char* name, T& target, const char* help) {
  return app.add_option(name, target, help)->capture_default_str();
}

void add_data_flags(CLI::App& app, TrainConfig& c) {
  Preprocessing& p = c.preprocessing;
  add_path(
      app, "--data", c.data, "PATH",
      "aclImdb_v1.tar.gz, an aclImdb folder, imdb.npz, rows (CSV, TSV, JSON lines or fastText's, packed or not), a "
      "folder of texts for each label, or a prepared folder; default: $REEL_DATA, the cache, a download, generated "
      "reviews")
      ->transform(absolute_path());
  add_path(app, "--test-data", c.test_data, "PATH",
           "Test reviews where --data is one file of rows, or a folder of train.* alone; default: a fifth "
           "of it, drawn at random")
      ->transform(absolute_path());
  add_read_options(app, c.reading);
  add(app, "--vocab-size", p.load.num_words, "Ids below this are known (Keras' num_words); more are unknown")
      ->transform(positive());
  add(app, "--skip-top", p.load.skip_top, "Ids below this are unknown (Keras' skip_top)")->transform(not_negative());
  add(app, "--drop-longer", p.load.maxlen, "Drop reviews of this many ids or more (load_data's maxlen); -1 keeps all")
      ->transform(within<std::int64_t>(-1, kLarge));
  add(app, "--start-char", p.load.start_char, "Id that begins every review; -1 for none")
      ->transform(within(-1, 1 << 24));
  add(app, "--oov-char", p.load.oov_char, "Id of unknown words; -1 leaves them out")->transform(within(-1, 1 << 24));
  add(app, "--index-from", p.load.index_from, "Added to word ranks to make ids")->transform(within(0, 1 << 24));
  app.add_flag("--keras-exact", c.keras_exact, "Order an imdb.npz as load_data's NumPy shuffle with seed 113 does");
  add(app, "--maxlen", p.maxlen, "Steps of a row (pad_sequences' maxlen)")
      ->transform(within<std::int64_t>(1, kMaxRowSteps));
  add_choice<Padding>(app, "--padding", p.padding, {{"post", Padding::kPost}, {"pre", Padding::kPre}},
                      "Which end is padded");
  add_choice<Truncating>(app, "--truncating", p.truncating, {{"pre", Truncating::kPre}, {"post", Truncating::kPost}},
                         "Which end of a long review is cut");
  add_choice(app, "--mask", p.mask, kOnOff, "on carries the state over padding; off reads padding as words");
  add(app, "--validation-split", c.validation_split, "Share of the training reviews to validate with")
      ->transform(within(0.0, 0.99));
  add_choice<ValidationRows>(
      app, "--validation", c.validation, {{"stratified", ValidationRows::kStratified}, {"last", ValidationRows::kLast}},
      "Which ones: of each class the same share, or the last ones (Keras; rows of texts are shuffled once when read)");
  app.add_option(
         "--class-weights", c.class_weights,
         "How much a class counts in training: balanced makes all count alike; or a file with lines of a label, "
         "a blank and its weight")
      ->type_name("balanced|FILE")
      ->transform(class_weights());
}

void add_model_flags(CLI::App& app, TrainConfig& c) {
  add_network_flags(app, c.model);
  add_choice<Init>(app, "--init", c.init, {{"keras", Init::kKeras}, {"torch", Init::kTorch}},
                   "Whose initialisation to use; torch with --orthogonal off is PyTorch's own");
  add_choice(app, "--orthogonal", c.orthogonal, kOnOff, "Orthogonal recurrent weights under either --init");
  add_path(app, "--init-from", c.init_from, "FILE.safetensors",
           "Start from the weights in this file (PyTorch's names), whatever --init and --orthogonal say")
      ->transform(absolute_path());
  add(app, "--dropout", c.dropout, "Before the output layer")->transform(within(0.0, 0.99));
  add(app, "--embedding-dropout", c.embedding_dropout,
      "Share of a step's distinct words whose embedding is 0 wherever they stand")
      ->transform(within(0.0, 0.99));
  add(app, "--layer-dropout", c.layer_dropout, "Between recurrent layers, of which there are two at least")
      ->transform(within(0.0, 0.99));
  app.add_flag("--variational", c.variational, "--layer-dropout has one mask for all steps of a review");
  add(app, "--word-dropout", c.word_dropout, "Share of words that become the unknown id")->transform(share());
}

void add_optimizer_flags(CLI::App& app, TrainConfig& c) {
  OptimizerConfig& o = c.optimizer;
  std::vector<std::pair<std::string, OptimizerKind>> kinds;
  for (std::size_t kind = 0; kind < kOptimizerNames.size(); ++kind) {
    kinds.emplace_back(kOptimizerNames[kind], static_cast<OptimizerKind>(kind));
  }
  add_choice(app, "--optimizer", o.kind, kinds, "The optimizer");
  add_choice<Convention>(app, "--convention", o.convention,
                         {{"keras", Convention::kKeras}, {"torch", Convention::kTorch}},
                         "Whose formulas and defaults the optimizer has");
  app.add_option("--lr", o.learning_rate, "Peak learning rate; default: the convention's (Adam 0.001)")
      ->transform(not_negative_real());
  app.add_option("--beta1", o.beta1, "Adam's; default 0.9")->transform(within(0.0, 0.999999));
  app.add_option("--beta2", o.beta2, "Adam's; default 0.999")->transform(within(0.0, 0.999999));
  app.add_option("--epsilon", o.epsilon, "Default: the convention's")->transform(not_negative_real());
  app.add_option("--rho", o.rho, "RMSprop's decay; default: the convention's")->transform(within(0.0, 0.999999));
  app.add_option("--momentum", o.momentum, "SGD's and RMSprop's; default 0")->transform(within(0.0, 0.999999));
  app.add_flag("--nesterov", o.nesterov, "Nesterov's momentum (SGD)");
  app.add_option("--weight-decay", o.weight_decay, "Default: the convention's")->transform(not_negative_real());
  add_choice<ScheduleKind>(
      app, "--schedule", c.schedule,
      {{"constant", ScheduleKind::kConstant}, {"linear", ScheduleKind::kLinear}, {"cosine", ScheduleKind::kCosine}},
      "Course of the learning rate after the warm-up");
  add(app, "--warmup", c.warmup, "Share of all steps over which the learning rate rises")->transform(share());
  add(app, "--clip-norm", c.clipping.norm, "Global norm that gradients are clipped to; 0 is off")
      ->transform(not_negative_real());
  add(app, "--clip-value", c.clipping.value, "Largest element of a gradient; 0 is off")->transform(not_negative_real());
}

void add_loop_flags(CLI::App& app, TrainConfig& c) {
  add(app, "--epochs", c.epochs, "Passes over the training reviews")->transform(within(1, 100000));
  add(app, "--batch-size", c.batch_size, "Reviews of a step")->transform(within(1, 65536));
  add(app, "--bptt", c.bptt,
      "Gradients stop this many steps before a row's end, a pooling's too, at most --maxlen; 0: at its beginning. Not "
      "with cuDNN's gru and lstm")
      ->transform(not_negative());
  add(app, "--max-steps", c.max_steps, "Stop after this many steps; the schedule does not change; 0 is no limit")
      ->transform(not_negative())
      ->configurable(false);
  add(app, "--early-stopping", c.early_stopping, "Stop after this many epochs without a better --best-by; 0 is off")
      ->transform(not_negative());
  add_choice<BestBy>(app, "--best-by", c.best_by,
                     {{"auto", BestBy::kAuto},
                      {"loss", BestBy::kLoss},
                      {"accuracy", BestBy::kAccuracy},
                      {"macro_f1", BestBy::kMacroF1}},
                     "Which epoch's model is kept, on the validation reviews; auto: the accuracy; of several labels, "
                     "or numbers, the loss");
  app.add_flag("--calibrate", c.calibrate,
               "Choose a temperature on the validation reviews, so that probabilities are as often right as they say");
  add_choice<bool>(app, "--threshold", c.find_threshold, {{"0.5", false}, {"auto", true}},
                   "From which probability on a class is predicted, of two classes or several labels; auto: the best "
                   "for the accuracy (F1 with --best-by macro_f1, and of several labels) on the validation reviews");
  add_choice(app, "--shuffle", c.shuffle, kOnOff, "A new order in every epoch");
  add_choice<bool>(app, "--evaluate", c.test_each_epoch, {{"epoch", true}, {"end", false}},
                   "Measure on the test reviews after every epoch, or at the end");
  add(app, "--seed", c.seed, "Names every random number of the run")
      ->transform(within<std::uint64_t>(0, std::numeric_limits<std::uint64_t>::max()));
  add(app, "--profile", c.profile_steps,
      "Tell a profiler of the GPU (nsys, ncu) to record this many steps, after the first 20; see bench/profile.sh")
      ->transform(not_negative());
  app.add_option_function<std::string>(
         "--checkpoint-every", [&c](const std::string& text) { c.checkpoint_every = parse_interval(text); },
         "Minutes (5m) or steps (1000) from one checkpoint to the next within an epoch; 0 saves at its end only")
      ->default_str("5m")
      ->type_name("MINUTESm|STEPS");
  add(app, "--log-every", c.log_every, "Steps from one line of metrics.jsonl to the next")
      ->transform(within(1, 100000));
}

/// The name of a long flag: "--lr" of "--lr=0.1".
std::string flag_of(const std::string& argument) { return argument.substr(0, argument.find('=')); }

/// The value that is given last to a flag of one or two names.
std::string last_value(const std::vector<std::string>& arguments, const std::string& flag,
                       const std::string& alias = "") {
  std::string value;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string name = flag_of(arguments[i]);
    if (name != flag && (alias.empty() || name != alias)) continue;
    const std::size_t equals = arguments[i].find('=');
    if (equals != std::string::npos) {
      value = arguments[i].substr(equals + 1);
    } else if (i + 1 < arguments.size()) {
      value = arguments[i + 1];
    }
  }
  return value;
}

}  // namespace

void add_network_flags(CLI::App& app, ModelConfig& model) {
  add(app, "--embedding-dim", model.embedding, "Width of the embedding")->transform(within(1, 4096));
  add(app, "--hidden-size", model.hidden, "Width of the hidden state")->transform(within(1, 4096));
  add_choice(app, "--cell,--nonlinearity", model.cell, cell_names(), "What the recurrent layers are made of");
  add(app, "--layers", model.layers, fmt::format("Recurrent layers, one above the other; up to {}", kMaxLayers).c_str())
      ->transform(within<std::int64_t>(1, kMaxLayers));
  app.add_flag("--bidirectional", model.bidirectional,
               "Each layer goes through a row from both ends; what is above it sees both directions");
  add_choice(
      app, "--pool", model.pool, pool_names(),
      "What the output layer sees of the states: the last, their mean, their maximum, or all three in this order");
}

void TrainOptions::add_to(CLI::App& app) {
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.option_defaults()->group("Run");
  add_choice(app, "--preset", config.preset, kPresets,
             "Defaults of every other flag: what reaches 86 % on IMDB, the well-known tutorial to the letter, or 400 "
             "words and all three poolings, tuned for the --cell");
  add_path(app, "--out", out, "DIR", "The run's folder; default: runs/DATE-TIME")->configurable(false);
  add_path(app, "--resume", resume, "DIR", "Continue the run in this folder")->configurable(false);
  add_path(app, "--config", config_file, "FILE", "Flags from a TOML file; those of the command line win")
      ->configurable(false);
  app.add_flag("--dump-config", dump, "Print every flag as TOML and stop")->configurable(false);
  app.add_flag("--quiet", quiet, "Print the result only")->configurable(false);
  device.add_to(app);
  app.add_flag("--timings", device.timings,
               "Say at the end how long each part took; one after the other, without CUDA graphs")
      ->configurable(false);
  app.option_defaults()->group("Data");
  add_data_flags(app, config);
  app.option_defaults()->group("Model");
  add_model_flags(app, config);
  app.option_defaults()->group("Optimizer");
  add_optimizer_flags(app, config);
  app.option_defaults()->group("Training");
  add_loop_flags(app, config);
}

void TrainOptions::settle_mixed_products(CLI::App& command) {
  if (!device.mixes_on_cpu() || device.mixed_products != MixedProducts::kAuto || !cpu_has(MixedProducts::kAuto)) return;
  device.mixed_products = fastest_mixed_products();
  CLI::Option* const option = command.get_option("--mixed-products");
  option->clear();
  option->default_str(name_of(device.mixed_products));
}

std::vector<std::string> expand_arguments(const std::vector<std::string>& arguments) {
  const std::string resume = last_value(arguments, "--resume"), config = last_value(arguments, "--config");
  if (resume.empty() && config.empty()) return arguments;
  if (!resume.empty()) {
    for (const std::string& argument : arguments) {
      if (argument.starts_with("--") && argument != "--help" &&
          std::ranges::find(kFreeOnResume, flag_of(argument).substr(2)) == std::end(kFreeOnResume)) {
        throw CLI::ValidationError(flag_of(argument), "a resumed run keeps the flags that it was started with");
      }
    }
  }
  CLI::App app("", "train");
  TrainOptions known;
  known.add_to(app);
  const std::filesystem::path file =
      resume.empty() ? std::filesystem::path(config) : std::filesystem::path(resume) / "config.toml";
  // A run's folder may be a stranger's; what the user names as a configuration may be a pipe.
  std::vector<std::string> all = parse_config((resume.empty() ? read_all : read_file)(file, kMaxToml + 1), file, app,
                                              resume.empty() ? Booleans::kStrict : Booleans::kAnyWord);
  if (!resume.empty() && all.empty())
    fail("{}: empty, expected the flags that the run was started with", file.string());
  if (!resume.empty()) {  // what versions did that did not write it yet
    if (last_value(all, "--validation").empty()) all.emplace_back("--validation=last");  // 0.1.0
    if (last_value(all, "--mixed-products").empty()) all.emplace_back("--mixed-products=bf16");
  }
  try {
    app.parse(std::vector<std::string>(all.rbegin(), all.rend()));
  } catch (const CLI::ParseError& error) {
    fail("{}: {}", file.string(), error.what());
  }
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

Cell cell_of(const std::vector<std::string>& arguments) {
  const std::string given = last_value(arguments, "--cell", "--nonlinearity");
  for (const CellTraits& known : kCells) {
    if (known.name == given) return known.cell;
  }
  return Cell::kTanh;  // a wrong word is reported when the flags are parsed
}

Preset preset_of(const std::vector<std::string>& arguments) {
  const std::string given = last_value(arguments, "--preset");
  for (const auto& [word, preset] : kPresets) {
    if (word == given) return preset;
  }
  return Preset::kRecipe;  // a wrong word is reported when the flags are parsed
}

}  // namespace reel
