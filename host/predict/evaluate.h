// Loss and accuracy of a model on a data set, and of a trained model on a corpus.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/files/limits.h"
#include "host/model/model.h"
#include "host/model/preprocessing.h"
#include "host/predict/measures.h"
#include "host/predict/trained_model.h"
#include "host/text/corpus_builder.h"

namespace reel {

struct Evaluation {
  std::int64_t true_positive = 0, false_positive = 0, true_negative = 0, false_negative = 0;
  double loss = 0;  // mean binary cross-entropy
  double seconds = 0;
  std::int64_t tokens = 0;

  std::int64_t reviews() const { return true_positive + false_positive + true_negative + false_negative; }
  double accuracy() const;
  double f1() const;                   // of the positive class; 0 when nothing is or was called positive
  Interval accuracy_interval() const;  // 95 %, wilson_interval()
};

/// Logits of every review, in the data set's order; throws Interrupted when an InterruptGuard's flag is set. Batches
/// are made of reviews of similar length; a review's logit does not depend on the batch it is in.
std::vector<float> predict_logits(Model<float>& model, const Dataset& dataset, Padding padding,
                                  std::int64_t batch_size);

/// From logits and labels; a positive logit means label 1.
Evaluation score(std::span<const float> logits, std::span<const std::int32_t> labels);

Evaluation evaluate(Model<float>& model, const Dataset& dataset, Padding padding, std::int64_t batch_size);

/// How much of the reviews is in the memory at a time.
struct EvaluationSize {
  std::int64_t steps = 0, rows = 0;              // of a row; of a batch
  std::int64_t most_steps = kMaxEvaluatedSteps;  // of all rows that are padded at once, if that is one row
};

/// The same of reviews that are not padded yet, some at a time; those that `load` drops are left out.
Evaluation evaluate_reviews(Model<float>& model, const Reviews& reviews, const LoadOptions& load,
                            const Preprocessing& how, const EvaluationSize& size);

/// What a reader must know where all `reviews` of a kind ("test ", or "" where there is one kind) have one label; else
/// "".
std::string one_label_warning(const std::string& source, std::int64_t reviews, std::int64_t positive,
                              std::string_view kind = "");

struct CorpusEvaluation {
  Evaluation scores;
  double known = 0;                   // share of the evaluated words that the model knows
  std::vector<std::string> warnings;  // what a reader of the scores must know of the reviews behind them
};

/// Scores one split of a corpus, at most `batch_size` reviews at once. Throws Error where its words cannot be matched
/// with the model's, or the model knows none of them, where no review is left, and where the loss is no number.
CorpusEvaluation evaluate_corpus(const TrainedModel& model, Backend<float>& backend, Corpus corpus, Split split,
                                 std::int64_t batch_size);

}  // namespace reel
