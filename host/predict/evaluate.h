// Loss and accuracy of a model on a data set, and of a trained model on a corpus.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "host/files/limits.h"
#include "host/model/model.h"
#include "host/model/preprocessing.h"
#include "host/predict/measures.h"
#include "host/predict/readout.h"
#include "host/predict/trained_model.h"
#include "host/text/corpus_builder.h"

namespace reel {

/// What a run keeps of an evaluation.
struct Scores {
  std::int64_t reviews = 0;
  double loss = 0;                           // log loss, or the mean squared error of a regression
  std::optional<double> accuracy, macro_f1;  // none of a regression; see Measures
  double seconds = 0;
  std::int64_t tokens = 0;

  bool operator==(const Scores&) const = default;
};

struct Evaluation {
  std::variant<Measures, RegressionMeasures> measures;
  double seconds = 0;
  std::int64_t tokens = 0;

  Scores scores() const;
};

/// Logits of every review [N, C], in the data set's order; throws Interrupted when an InterruptGuard's flag is set.
/// Batches are made of reviews of similar length; a review's logit does not depend on the batch it is in;
/// where there are several, cuBLAS may round them by the size of the batch.
std::vector<float> predict_logits(Model<float>& model, const Dataset& dataset, Padding padding,
                                  std::int64_t batch_size);

/// Measures logits [N, C] of reviews, some at a time.
class Meter {
 public:
  Meter(const ModelConfig& config, const Readout& readout);

  /// Of the rows of `dataset`, whose class is the likeliest where labels are soft.
  void add(std::span<const float> logits, const Dataset& dataset);
  Evaluation finish() const;

 private:
  Task task_;
  std::size_t outputs_;
  Readout readout_;
  std::variant<ClassMeter, MultiLabelMeter, RegressionMeter> meter_;
};

Evaluation evaluate(Model<float>& model, const Dataset& dataset, Padding padding, std::int64_t batch_size,
                    const Readout& readout = {});

/// How much of the reviews is in the memory at a time.
struct EvaluationSize {
  std::int64_t steps = 0, rows = 0;              // of a row; of a batch
  std::int64_t most_steps = kMaxEvaluatedSteps;  // of all rows that are padded at once, if that is one row
};

/// The same of reviews that are not padded yet, some at a time; those that `load` drops are left out.
Evaluation evaluate_reviews(Model<float>& model, const Reviews& reviews, const LoadOptions& load,
                            const Preprocessing& how, const EvaluationSize& size, const Readout& readout = {});

/// What a reader must know where all rows of a kind ("test ", or "" where there is one kind) have one class; else "".
/// counts [C]: rows of each class.
std::string one_label_warning(const std::string& source, const LabelSet& labels, std::span<const std::int64_t> counts,
                              std::string_view kind = "");

struct CorpusEvaluation {
  Evaluation evaluation;
  double known = 0;                   // share of the evaluated words that the model knows
  std::vector<std::string> warnings;  // what a reader of the scores must know of the reviews behind them
};

/// Scores one split of a corpus, at most `batch_size` reviews at once. Throws Error where its words cannot be matched
/// with the model's, or the model knows none of them, where no review is left, and where the loss is no number.
CorpusEvaluation evaluate_corpus(const TrainedModel& model, Backend<float>& backend, Corpus corpus, Split split,
                                 std::int64_t batch_size);

}  // namespace reel
