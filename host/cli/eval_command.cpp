#include <algorithm>
#include <cmath>

#include "host/cli/commands.h"
#include "host/cli/options.h"
#include "host/predict/evaluate.h"
#include "host/predict/trained_model.h"
#include "host/train/progress.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

struct EvalOptions {
  fs::path model, data;
  bool test = true;
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

void warn(const std::string& text) { put(stderr, fmt::format("reel: warning: {}\n", printable(text))); }

/// What a reader of the numbers must know of the reviews behind them.
void warn_of(const TrainedModel& model, const Corpus& corpus, const Reviews& reviews, const Evaluation& e,
             double known) {
  if (&reviews == &corpus.test && tests_training_rows(corpus.source_checksum, model.trained_on())) {
    warn(fmt::format("{}: the model was trained on these reviews: accuracy on them says little of others",
                     corpus.source));
  }
  if (known < kFewWords) {
    warn(
        fmt::format("{}: the model knows {:.1f} % of these words, fewer than {:.0f} %: is it of the same language and "
                    "tokenized alike?",
                    corpus.source, 100 * known, 100 * kFewWords));
  }
  const std::int64_t positive = e.true_positive + e.false_negative;
  if (positive == 0 || positive == e.reviews()) {
    warn(fmt::format("{}: all {} reviews have the label {}: accuracy on them says nothing", corpus.source, e.reviews(),
                     positive > 0 ? 1 : 0));
  }
  if (e.reviews() < reviews.size()) {
    warn(fmt::format("{}: {} reviews left out: as long as the model's --drop-longer, or longer", corpus.source,
                     reviews.size() - e.reviews()));
  }
}

int evaluate_model(const EvalOptions& options) {
  const TrainedModel model = load_trained_model(options.model);
  const std::unique_ptr<Backend<float>> backend = options.device.make();
  const DefaultCorpusEvents events{.announce = [](const std::string& line) { fmt::print("{}\n", line); }};
  // A single CSV or JSON lines file is all test: every row is scored, and every word known.
  Corpus corpus =
      options.data.empty() ? default_corpus(events, SingleFile::kTests) : read_corpus(options.data, options.data);
  const Preprocessing& how = model.preprocessing;
  adopt_vocabulary(corpus, model.vocabulary, model.trained_on());
  const Reviews& reviews = options.test ? corpus.test : corpus.train;
  const LoadOptions load = model.vocabulary.options();
  // A model's maxlen may be a stranger's: masked, no row takes more steps than its review.
  const std::int64_t steps = how.mask ? std::min(how.maxlen, longest_review(reviews) + 1) : how.maxlen;
  const double known = known_share(reviews, load, how.maxlen, how.truncating, model.vocabulary.counts());
  if (reviews.ranks.empty()) fail("{}: no word in its reviews", corpus.source);
  if (known == 0) fail("{}: the model knows none of its words", corpus.source);
  const std::int64_t rows = rows_at_once(model, options.batch_size, steps);
  Model<float> on_device = to_device(*backend, model, rows, steps);
  const Evaluation evaluation = evaluate_reviews(on_device, reviews, load, how, {.steps = steps, .rows = rows});
  if (evaluation.reviews() == 0) fail("{}: no reviews to evaluate", corpus.source);
  if (!std::isfinite(evaluation.loss)) {
    fail("{}: the model gives a loss of {}, which is no number", model.file.string(), evaluation.loss);
  }
  warn_of(model, corpus, reviews, evaluation, known);
  print(evaluation, known);
  return kSuccess;
}

}  // namespace

Command add_eval_command(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand("eval", "Measure a trained model: loss, accuracy, F1, confusion matrix");
  command->add_option("model", options->model, "A run folder or its model.safetensors")->check(some_path())->required();
  command->add_option("--data", options->data, "What reel train --data takes; one CSV or JSON lines file is all test")
      ->type_name("PATH")
      ->check(some_path());
  add_choice<bool>(*command, "--split", options->test, {{"test", true}, {"train", false}}, "Which reviews");
  command->add_option("--batch-size", options->batch_size, "Reviews at once; fewer where they are very long")
      ->transform(within<std::int64_t>(1, 65536))
      ->capture_default_str();
  options->device.add_to(*command);
  return [options] { return evaluate_model(*options); };
}

}  // namespace reel
