#include "host/predict/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "host/files/interrupt.h"
#include "host/predict/inference.h"
#include "kernels/check.h"
#include "kernels/range.h"

namespace reel {

Scores Evaluation::scores() const {
  Scores scores{.seconds = seconds, .tokens = tokens};
  if (const auto* const regression = std::get_if<RegressionMeasures>(&measures)) {
    scores.reviews = regression->rows;
    scores.loss = regression->mean_squared_error;
    return scores;
  }
  const Measures& of_classes = std::get<Measures>(measures);
  scores.reviews = of_classes.rows;
  scores.loss = of_classes.log_loss;
  scores.accuracy = of_classes.accuracy;
  scores.macro_f1 = of_classes.macro_f1;
  return scores;
}

std::vector<float> predict_logits(Model<float>& model, const Dataset& dataset, Padding padding,
                                  std::int64_t batch_size) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(dataset.size()));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::int32_t i) { return dataset.lengths[static_cast<std::size_t>(i)]; });
  Backend<float>& backend = model.backend();
  const ProfileRange range(backend, "evaluate");
  const DeviceDataset device = to_device(backend, dataset);
  const auto C = static_cast<std::size_t>(model.config().outputs);
  std::vector<float> logits(order.size() * C), batch(static_cast<std::size_t>(batch_size) * C);
  const auto size = static_cast<std::size_t>(batch_size);
  Inference<float> inference(model);
  Buffer<std::int32_t> rows = backend.allocate<std::int32_t>(dataset.size());
  backend.upload(std::span<const std::int32_t>(order), rows.span());
  for (std::size_t first = 0; first < order.size(); first += size) {
    if (InterruptGuard::signal() != 0) throw Interrupted();
    const auto chosen = std::span<const std::int32_t>(order).subspan(first, std::min(size, order.size() - first));
    model.select(device, rows.span(first, chosen.size()), {.padding = padding});
    inference.run();
    const auto values = std::span(batch).first(chosen.size() * C);
    backend.download(model.logits(), values);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(i * C), C,
                  logits.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(chosen[i]) * C));
    }
  }
  return logits;
}

namespace {

std::variant<ClassMeter, MultiLabelMeter, RegressionMeter> make_meter(const ModelConfig& config,
                                                                      const Readout& readout) {
  if (config.task == Task::kRegression) return RegressionMeter();
  if (config.task == Task::kMultiLabel) return MultiLabelMeter(config.outputs, readout.thresholds);
  return ClassMeter(config.outputs, readout.threshold(0));
}

}  // namespace

Meter::Meter(const ModelConfig& config, const Readout& readout)
    : task_(config.task),
      outputs_(static_cast<std::size_t>(config.outputs)),
      readout_(readout),
      meter_(make_meter(config, readout)) {}

void Meter::add(std::span<const float> logits, const Dataset& dataset) {
  constexpr std::size_t kAtOnce = std::size_t{1} << 20;  // numbers that are held once more
  const auto N = static_cast<std::size_t>(dataset.size()), most = std::max<std::size_t>(kAtOnce / outputs_, 1);
  REEL_CHECK(logits.size() == N * outputs_, "{} logits of {} reviews, {} each", logits.size(), N, outputs_);
  for (std::size_t first = 0; first < N; first += most) {
    const std::size_t count = std::min(most, N - first);
    const std::vector<float> numbers =
        apply_readout(readout_, task_, logits.subspan(first * outputs_, count * outputs_));
    if (auto* const classes = std::get_if<ClassMeter>(&meter_)) {
      classes->add(numbers, std::span(dataset.labels).subspan(first, count));
      continue;
    }
    const std::vector<float> truth = dataset.targets.dense(first, count, outputs_);
    if (auto* const labels = std::get_if<MultiLabelMeter>(&meter_)) labels->add(numbers, truth);
    if (auto* const regression = std::get_if<RegressionMeter>(&meter_)) regression->add(numbers, truth);
  }
}

Evaluation Meter::finish() const {
  return {.measures =
              std::visit([](const auto& meter) { return decltype(Evaluation::measures)(meter.finish()); }, meter_)};
}

Evaluation evaluate(Model<float>& model, const Dataset& dataset, Padding padding, std::int64_t batch_size,
                    const Readout& readout) {
  const auto start = std::chrono::steady_clock::now();
  Meter meter(model.config(), readout);
  const std::int64_t most = std::max<std::int64_t>(kMaxBatchValues / model.config().outputs, 1);
  if (dataset.size() <= most) {
    meter.add(predict_logits(model, dataset, padding, batch_size), dataset);
  } else {
    for (std::int64_t first = 0; first < dataset.size(); first += most) {
      const Dataset some = slice(dataset, first, std::min(first + most, dataset.size()));
      meter.add(predict_logits(model, some, padding, batch_size), some);
    }
  }
  Evaluation result = meter.finish();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.tokens = padding == Padding::kNone
                      ? std::accumulate(dataset.lengths.begin(), dataset.lengths.end(), std::int64_t{0})
                      : dataset.size() * dataset.steps;
  return result;
}

Evaluation evaluate_reviews(Model<float>& model, const Reviews& reviews, const LoadOptions& load,
                            const Preprocessing& how, const EvaluationSize& size, const Readout& readout) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(reviews.size()));
  std::iota(order.begin(), order.end(), 0);
  Meter meter(model.config(), readout);
  const std::int64_t rows = std::min(size.most_steps / size.steps, kMaxBatchValues / model.config().outputs);
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(rows, 1));
  for (std::size_t first = 0; first < order.size(); first += most) {
    const auto some = std::span<const std::int32_t>(order).subspan(first, std::min(most, order.size() - first));
    const Dataset dataset = make_dataset(permute(reviews, some), load, size.steps, how.truncating);
    if (dataset.size() == 0) continue;
    meter.add(predict_logits(model, dataset, how.batch_padding(), size.rows), dataset);
  }
  return meter.finish();
}

std::string one_label_warning(const std::string& source, const LabelSet& labels, std::span<const std::int64_t> counts,
                              std::string_view kind) {
  if (labels.task != Task::kClassify) return "";
  const auto has_rows = [](std::int64_t count) { return count > 0; };
  const auto only = std::ranges::find_if(counts, has_rows);
  if (std::ranges::count_if(counts, has_rows) != 1) return "";
  return fmt::format("{}: all {} {}reviews have the label {}: accuracy on them says nothing", source, *only, kind,
                     labels.names[static_cast<std::size_t>(only - counts.begin())]);
}

namespace {

std::vector<std::string> warnings_of(const TrainedModel& model, const Corpus& corpus, Split split,
                                     const Evaluation& evaluation, double known) {
  std::vector<std::string> warnings;
  const Reviews& reviews = split == Split::kTest ? corpus.test : corpus.train;
  if (split == Split::kTest && tests_training_rows(corpus.source_checksum, model.trained_on())) {
    warnings.push_back(fmt::format("{}: the model was trained on these reviews: accuracy on them says little of others",
                                   corpus.source));
  }
  if (known < kFewWords) {
    warnings.push_back(
        fmt::format("{}: the model knows {:.1f} % of these words, fewer than {:.0f} %: is it of the same language and "
                    "tokenized alike?",
                    corpus.source, 100 * known, 100 * kFewWords));
  }
  if (const auto* const measures = std::get_if<Measures>(&evaluation.measures)) {
    std::vector<std::int64_t> counts;
    for (const ClassMeasures& of_class : measures->classes) counts.push_back(of_class.actual);
    const std::string one_label = one_label_warning(corpus.source, model.labels, counts);
    if (!one_label.empty()) warnings.push_back(one_label);
  }
  const std::int64_t evaluated = evaluation.scores().reviews;
  if (evaluated < reviews.size()) {
    warnings.push_back(fmt::format("{}: {} reviews left out: as long as the model's --drop-longer, or longer",
                                   corpus.source, reviews.size() - evaluated));
  }
  return warnings;
}

}  // namespace

CorpusEvaluation evaluate_corpus(const TrainedModel& model, Backend<float>& backend, Corpus corpus, Split split,
                                 std::int64_t batch_size) {
  const Preprocessing& how = model.preprocessing;
  if (corpus.labels.task != model.labels.task || corpus.labels.classes() != model.labels.classes()) {
    fail("{}: {} with {} labels, but the model is to {} with {}", corpus.source, name_of(corpus.labels.task),
         corpus.labels.classes(), name_of(model.labels.task), model.labels.classes());
  }
  adopt_vocabulary(corpus, model.vocabulary, model.trained_on());
  const Reviews& reviews = split == Split::kTest ? corpus.test : corpus.train;
  const LoadOptions load = model.vocabulary.options();
  // A model's maxlen may be a stranger's: masked, no row takes more steps than its review.
  const std::int64_t steps = how.mask ? std::min(how.maxlen, longest_review(reviews) + 1) : how.maxlen;
  CorpusEvaluation result;
  result.known = known_share(reviews, load, how.maxlen, how.truncating, model.vocabulary.counts());
  if (reviews.ranks.empty()) fail("{}: no word in its reviews", corpus.source);
  if (result.known == 0) fail("{}: the model knows none of its words", corpus.source);
  const std::int64_t rows = rows_at_once(model, batch_size, steps);
  Model<float> on_device(backend, model.saved.config, rows, steps, model.saved.parameters);
  result.evaluation = evaluate_reviews(on_device, reviews, load, how, {.steps = steps, .rows = rows}, model.readout);
  const Scores scores = result.evaluation.scores();
  if (scores.reviews == 0) fail("{}: no reviews to evaluate", corpus.source);
  if (!std::isfinite(scores.loss)) {
    fail("{}: the model gives a loss of {}, which is no number", model.file.string(), scores.loss);
  }
  result.warnings = warnings_of(model, corpus, split, result.evaluation, result.known);
  return result;
}

}  // namespace reel
