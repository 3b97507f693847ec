#include <sys/ioctl.h>
#include <unistd.h>

#include "host/cli/commands.h"
#include "host/cli/options.h"
#include "host/cli/read_options.h"
#include "host/predict/evaluate.h"
#include "host/predict/measures_report.h"
#include "host/train/progress.h"
#include "kernels/error.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

struct EvalOptions {
  fs::path model, data;
  Split split = Split::kTest;
  ReadOptions reading;
  std::int64_t batch_size = 64;
  bool json = false;
  DeviceOptions device;
};

std::size_t terminal_columns() {
  winsize size{};
  return ::isatty(STDOUT_FILENO) && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 80;
}

void print(const CorpusEvaluation& result, const LabelSet& labels, bool json) {
  const auto* const regression = std::get_if<RegressionMeasures>(&result.evaluation.measures);
  const auto* const classes = std::get_if<Measures>(&result.evaluation.measures);
  if (json) {
    JsonMembers members = classes != nullptr ? json_members(*classes, labels.names) : json_members(*regression);
    members.emplace_back("known_words", result.known);
    fmt::print("{}\n", to_json(members));
    return;
  }
  fmt::print("words known        {:.2f} %\n", 100 * result.known);
  fmt::print("{}", classes != nullptr ? to_text(*classes, labels.names, terminal_columns()) : to_text(*regression));
}

int evaluate_model(EvalOptions options) {
  const TrainedModel model = load_trained_model(options.model);
  options.reading.labels = model.labels;
  const Metadata& metadata = model.saved.metadata;
  if (const auto texts = metadata.find(kTextColumns); texts != metadata.end()) {
    options.reading.model_text_columns = CLI::detail::split(texts->second, ',');
  }
  if (const auto label = metadata.find(kLabelColumn); label != metadata.end()) {
    options.reading.model_label_column = label->second;
  }
  const std::unique_ptr<Backend<float>> backend = options.device.make();
  warn(options.device.unused_precision(model.saved.config.cell));
  warn(options.device.unused_products());
  const DefaultCorpusEvents events{
      .announce = [&](const std::string& line) { fmt::print(options.json ? stderr : stdout, "{}\n", line); }};
  // A single file of rows is all test: every row is scored, and every word known.
  Corpus corpus = options.data.empty() ? default_corpus(events, SingleFile::kTests, options.reading)
                                       : read_corpus(options.data, options.data, options.reading);
  const std::vector<std::string> warnings = corpus.warnings;
  const CorpusEvaluation result =
      evaluate_corpus(model, *backend, std::move(corpus), options.split, options.batch_size);
  for (const std::string& warning : warnings) warn(warning);
  for (const std::string& warning : result.warnings) warn(warning);
  print(result, model.labels, options.json);
  return kSuccess;
}

}  // namespace

Command add_eval_command(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand("eval", "Measure a trained model: loss, accuracy, F1 by class, confusions");
  command->add_option("model", options->model, "A run folder or its model.safetensors")->check(some_path())->required();
  add_path(
      *command, "--data", options->data, "PATH",
      "What reel train --data takes; one file of rows is all test, with the columns that the model was trained on");
  add_read_options(*command, options->reading);
  add_choice<Split>(*command, "--split", options->split, {{"test", Split::kTest}, {"train", Split::kTrain}},
                    "Which reviews");
  command->add_option("--batch-size", options->batch_size, "Reviews at once; fewer where they are very long")
      ->transform(within<std::int64_t>(1, 65536))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print all that is measured as one line of JSON");
  options->device.add_to(*command);
  return [options] { return evaluate_model(*options); };
}

}  // namespace reel
