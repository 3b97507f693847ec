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

double Evaluation::accuracy() const {
  return reviews() == 0 ? 0 : static_cast<double>(true_positive + true_negative) / static_cast<double>(reviews());
}

double Evaluation::f1() const {
  const auto called = static_cast<double>(2 * true_positive + false_positive + false_negative);
  return called == 0 ? 0 : 2 * static_cast<double>(true_positive) / called;
}

Interval Evaluation::accuracy_interval() const { return wilson_interval(true_positive + true_negative, reviews()); }

std::vector<float> predict_logits(Model<float>& model, const Dataset& dataset, Padding padding,
                                  std::int64_t batch_size) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(dataset.size()));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::int32_t i) { return dataset.lengths[static_cast<std::size_t>(i)]; });
  Backend<float>& backend = model.backend();
  const ProfileRange range(backend, "evaluate");
  const DeviceDataset device = to_device(backend, dataset);
  std::vector<float> logits(order.size()), batch(static_cast<std::size_t>(batch_size));
  const auto size = static_cast<std::size_t>(batch_size);
  Inference<float> inference(model);
  Buffer<std::int32_t> rows = backend.allocate<std::int32_t>(dataset.size());
  backend.upload(std::span<const std::int32_t>(order), rows.span());
  for (std::size_t first = 0; first < order.size(); first += size) {
    if (InterruptGuard::signal() != 0) throw Interrupted();
    const auto chosen = std::span<const std::int32_t>(order).subspan(first, std::min(size, order.size() - first));
    model.select(device, rows.span(first, chosen.size()), {.padding = padding});
    inference.run();
    const auto values = std::span(batch).first(chosen.size());
    backend.download(model.logits(), values);
    for (std::size_t i = 0; i < chosen.size(); ++i) logits[static_cast<std::size_t>(chosen[i])] = values[i];
  }
  return logits;
}

Evaluation score(std::span<const float> logits, std::span<const std::int32_t> labels) {
  REEL_CHECK(logits.size() == labels.size(), "{} logits for {} labels", logits.size(), labels.size());
  Evaluation result;
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double x = logits[i], y = labels[i];
    sum += std::max(x, 0.0) - x * y + std::log1p(std::exp(-std::abs(x)));
    const bool called = x > 0, positive = labels[i] == 1;
    ++(called ? (positive ? result.true_positive : result.false_positive)
              : (positive ? result.false_negative : result.true_negative));
  }
  if (!logits.empty()) result.loss = sum / static_cast<double>(logits.size());
  return result;
}

Evaluation evaluate(Model<float>& model, const Dataset& dataset, Padding padding, std::int64_t batch_size) {
  const auto start = std::chrono::steady_clock::now();
  Evaluation result = score(predict_logits(model, dataset, padding, batch_size), dataset.labels);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.tokens = padding == Padding::kNone
                      ? std::accumulate(dataset.lengths.begin(), dataset.lengths.end(), std::int64_t{0})
                      : dataset.size() * dataset.steps;
  return result;
}

Evaluation evaluate_reviews(Model<float>& model, const Reviews& reviews, const LoadOptions& load,
                            const Preprocessing& how, const EvaluationSize& size) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(reviews.size())), labels;
  std::iota(order.begin(), order.end(), 0);
  std::vector<float> logits;
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(size.most_steps / size.steps, 1));
  for (std::size_t first = 0; first < order.size(); first += most) {
    const auto some = std::span<const std::int32_t>(order).subspan(first, std::min(most, order.size() - first));
    const Dataset dataset = make_dataset(permute(reviews, some), load, size.steps, how.truncating);
    if (dataset.size() == 0) continue;
    const std::vector<float> added = predict_logits(model, dataset, how.batch_padding(), size.rows);
    logits.insert(logits.end(), added.begin(), added.end());
    labels.insert(labels.end(), dataset.labels.begin(), dataset.labels.end());
  }
  return score(logits, labels);
}

std::string one_label_warning(const std::string& source, std::int64_t reviews, std::int64_t positive,
                              std::string_view kind) {
  if (reviews == 0 || (positive > 0 && positive < reviews)) return "";
  return fmt::format("{}: all {} {}reviews have the label {}: accuracy on them says nothing", source, reviews, kind,
                     positive > 0 ? 1 : 0);
}

namespace {

std::vector<std::string> warnings_of(const TrainedModel& model, const Corpus& corpus, Split split, const Evaluation& e,
                                     double known) {
  std::vector<std::string> warnings;
  const std::int64_t reviews = (split == Split::kTest ? corpus.test : corpus.train).size();
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
  const std::string one_label = one_label_warning(corpus.source, e.reviews(), e.true_positive + e.false_negative);
  if (!one_label.empty()) warnings.push_back(one_label);
  if (e.reviews() < reviews) {
    warnings.push_back(fmt::format("{}: {} reviews left out: as long as the model's --drop-longer, or longer",
                                   corpus.source, reviews - e.reviews()));
  }
  return warnings;
}

}  // namespace

CorpusEvaluation evaluate_corpus(const TrainedModel& model, Backend<float>& backend, Corpus corpus, Split split,
                                 std::int64_t batch_size) {
  const Preprocessing& how = model.preprocessing;
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
  result.scores = evaluate_reviews(on_device, reviews, load, how, {.steps = steps, .rows = rows});
  if (result.scores.reviews() == 0) fail("{}: no reviews to evaluate", corpus.source);
  if (!std::isfinite(result.scores.loss)) {
    fail("{}: the model gives a loss of {}, which is no number", model.file.string(), result.scores.loss);
  }
  result.warnings = warnings_of(model, corpus, split, result.scores, result.known);
  return result;
}

}  // namespace reel
