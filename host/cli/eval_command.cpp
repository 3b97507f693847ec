#include "host/cli/commands.h"
#include "host/cli/options.h"
#include "host/predict/evaluate.h"
#include "host/train/progress.h"
#include "kernels/error.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

struct EvalOptions {
  fs::path model, data;
  Split split = Split::kTest;
  std::int64_t batch_size = 64;
  DeviceOptions device;
};

void print(const Evaluation& e, double known) {
  const Interval interval = e.accuracy_interval();
  fmt::print("reviews    {}\n", e.reviews());
  fmt::print("words      {:.2f} % known to the model\n", 100 * known);
  fmt::print("loss       {:.4f}\n", e.loss);
  fmt::print("accuracy   {:.2f} %  (95 % interval {:.2f} to {:.2f})\n", 100 * e.accuracy(), 100 * interval.low,
             100 * interval.high);
  fmt::print("F1         {:.4f}\n\n", e.f1());
  fmt::print("                called positive  called negative\n");
  fmt::print("is positive     {:>15}  {:>15}\n", e.true_positive, e.false_negative);
  fmt::print("is negative     {:>15}  {:>15}\n", e.false_positive, e.true_negative);
}

int evaluate_model(const EvalOptions& options) {
  const TrainedModel model = load_trained_model(options.model);
  const std::unique_ptr<Backend<float>> backend = options.device.make();
  warn(options.device.unused_precision(model.saved.config.cell));
  const DefaultCorpusEvents events{.announce = [](const std::string& line) { fmt::print("{}\n", line); }};
  // A single CSV or JSON lines file is all test: every row is scored, and every word known.
  Corpus corpus =
      options.data.empty() ? default_corpus(events, SingleFile::kTests) : read_corpus(options.data, options.data);
  const CorpusEvaluation result =
      evaluate_corpus(model, *backend, std::move(corpus), options.split, options.batch_size);
  for (const std::string& warning : result.warnings) warn(warning);
  print(result.scores, result.known);
  return kSuccess;
}

}  // namespace

Command add_eval_command(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand("eval", "Measure a trained model: loss, accuracy, F1, confusion matrix");
  command->add_option("model", options->model, "A run folder or its model.safetensors")->check(some_path())->required();
  add_path(*command, "--data", options->data, "PATH",
           "What reel train --data takes; one CSV or JSON lines file is all test");
  add_choice<Split>(*command, "--split", options->split, {{"test", Split::kTest}, {"train", Split::kTrain}},
                    "Which reviews");
  command->add_option("--batch-size", options->batch_size, "Reviews at once; fewer where they are very long")
      ->transform(within<std::int64_t>(1, 65536))
      ->capture_default_str();
  options->device.add_to(*command);
  return [options] { return evaluate_model(*options); };
}

}  // namespace reel
